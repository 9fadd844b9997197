"""Clauses put together to a question: sentences, joined sentences, "If ..., how many ...?"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from training.phrasing.voice import Voice

Lean = Literal["", "pronoun", "elision"]
"""What a clause needs the sentence before it for."""


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Clause:
    """One fact in words, without the capital and the full stop.

    said: the subject as said ("she"); subject: whom or what that means, "" where a sentence has none.
    state: it tells an amount or a price, and not what happens.
    people: everybody it names or means. lead: "then" and the like.
    """

    said: str
    rest: str
    subject: str = ""
    people: frozenset[str] = field(default_factory=frozenset)
    lead: str = ""
    lean: Lean = ""
    state: bool = False

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.lead, self.said, self.rest) if part)

    @property
    def sentence(self) -> str:
        return f"{capital(self.text)}."


@dataclass(frozen=True)
class Draft:
    """A problem in clauses, one for each fact, and its question without capital and question mark.

    of: whom or what it asks about. absorbed: how many facts at the end are told by ``ask`` alone.
    """

    clauses: tuple[Clause, ...]
    ask: str
    lean: Lean = ""
    of: tuple[str, ...] = ()
    absorbed: int = 0


def assemble(draft: Draft, voice: Voice) -> str:
    """The whole question."""
    told = draft.clauses[: len(draft.clauses) - draft.absorbed]
    leans = (*(clause.lean for clause in told[1:]), draft.lean)
    joins = voice.rng.choice((0.0, 0.25, 0.5))
    groups: list[list[Clause]] = []
    for index, clause in enumerate(told):
        before = groups[-1] if groups else []
        if len(before) == 1 and voice.chance(joins) and _joinable(before[0], clause, leans[index], voice):
            before.append(clause)
        else:
            groups.append([clause])
    texts = [_joined(group, voice) for group in groups]
    ask = draft.ask
    if groups and _conditional(groups, draft) and voice.chance(0.3 if len(groups) == 1 else 0.12):
        ask = f"if {texts.pop()}, {ask}"
    return _finish([*(f"{capital(text)}." for text in texts), f"{capital(ask)}?"], voice)


def _conditional(groups: list[list[Clause]], draft: Draft) -> bool:
    """Whether "If" can go before the last sentence: it leads to the question, which is a single one."""
    last = groups[-1]
    to_the_point = len(groups) == 1 or last[-1].subject in draft.of
    return to_the_point and not last[0].lead and ", how" not in draft.ask


def _finish(sentences: Iterable[str], voice: Voice) -> str:
    """How carefully it is typed."""
    question = " ".join(sentences)
    if voice.chance(0.05):
        question = question.lower()
    return question.removesuffix("?") if voice.chance(0.05) else question


def _joinable(one: Clause, other: Clause, lean: Lean, voice: Voice) -> bool:
    """Whether what comes after them, which may lean on ``other``, is as clear if the two are one sentence."""
    if one.subject == other.subject:
        # "Tom has 7 lemons and has 73" would be read as a sum.
        return not (one.state and other.state)
    if not lean:
        return True
    return lean == "pronoun" and voice.clear(other.subject, one.people) if other.people else False


def _joined(group: list[Clause], voice: Voice) -> str:
    """One or two clauses as a sentence."""
    first, *more = group
    if not more:
        return first.text
    (then,) = more
    plain = "they" not in (first.said, then.said)
    if then.people and plain and not then.lead and first.text.endswith(f" {then.subject}"):
        return f"{first.text}, who {then.rest}"
    if then.people and first.subject == then.subject and plain and voice.chance(0.7):
        return f"{first.text} and {f'{then.lead} {then.rest}'.strip()}"
    # "more than Ben and Tom has" would be read wrongly at first.
    relates = len(first.people) > 1 or " than " in first.text or " as " in first.text
    return f"{first.text}{', and' if relates or voice.chance(0.2) else ' and'} {then.text}"
