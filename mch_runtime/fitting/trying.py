"""A question tried several times, and every step of what failed tried again from its end.

A strategy as those that answer questions are, so that many questions share one batch. Where a chain came to a wrong
answer, continuations are drawn from the end of each of its steps: how many of them still reach the right answer
estimates whether the step was sound (Wang et al. 2023, Math-Shepherd, arXiv 2312.08935), without any labels
but the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mch_runtime.chain import Chain
from mch_runtime.fitting.seen import Seen, seen_of
from mch_runtime.options import SamplingOptions
from mch_runtime.strategies.desk import Case, Desk, Draft, Plan

GREEDY = SamplingOptions(temperature=0.0)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """chains: sampled per question; rollouts: continuations from each step's end of a wrong chain. greedy: one more
    chain without sampling, and no rollouts.
    """

    chains: int
    rollouts: int
    greedy: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Tried:
    """A chain that was written.

    answer: what it comes to, canonical, None where it says nothing or was cut off. outcomes: behind every step, the
    answers of chains that begin with the same tokens up to there, this one left out; () where none were drawn.
    """

    chain: Chain
    seen: Seen
    answer: str | None
    outcomes: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Attempts:
    """What came of one question: its sampled chains, and the greedy one if it was wanted."""

    sampled: tuple[Tried, ...]
    greedy: Tried | None


def attempts(
    desk: Desk, effort: Effort, *, read: Callable[[Case, str], str | None], right: str
) -> Plan[Attempts]:
    """Draw all chains, then, if one of them is right, the rollouts of those that are wrong.

    read: the canonical answer of a text; right: the right one.
    """

    def said(draft: Draft) -> str | None:
        return read(desk.case, draft.chain.text) if draft.complete else None

    drafts = [desk.draw(keep=True) for _ in range(effort.chains)]
    greedy = desk.draw(GREEDY, keep=True) if effort.greedy else None
    yield from desk.wait([*drafts, *([greedy] if greedy else [])])
    if greedy is not None:
        desk.free([greedy])
    answers = [said(draft) for draft in drafts]
    # Where no chain is right, what is behind the steps says next to nothing, and costs the most.
    hopeful = right in answers
    wrong = [draft for draft, answer in zip(drafts, answers, strict=True) if hopeful and answer != right]
    desk.free([draft for draft in drafts if draft not in wrong])
    rolled = yield from _rolled(desk, wrong, effort.rollouts)
    known = [(tuple(draft.chain.token_ids), answer) for draft, answer in zip(drafts, answers, strict=True)]
    endings = {prefix: [said(one) for one in found] for prefix, found in rolled.items()}
    return Attempts(
        sampled=tuple(
            Tried(
                chain=draft.chain,
                seen=seen_of(draft.chain),
                answer=answer,
                outcomes=_outcomes(place, known, endings, draft.chain) if draft in wrong else (),
            )
            for place, (draft, answer) in enumerate(zip(drafts, answers, strict=True))
            if draft.chain.steps
        ),
        greedy=Tried(chain=greedy.chain, seen=seen_of(greedy.chain), answer=said(greedy), outcomes=())
        if greedy is not None and greedy.chain.steps
        else None,
    )


def _rolled(desk: Desk, drafts: Sequence[Draft], count: int) -> Plan[dict[tuple[int, ...], list[Draft]]]:
    """Continuations of every beginning that ends with a step, the whole chains left out."""
    rolled: dict[tuple[int, ...], list[Draft]] = {}
    for draft in drafts:
        for step in draft.chain.steps[:-1]:
            end = step.tokens[1]
            prefix = tuple(draft.chain.token_ids[:end])
            if prefix not in rolled:
                rolled[prefix] = [desk.draw(behind=draft, tokens=end) for _ in range(count)]
    yield from desk.wait([one for found in rolled.values() for one in found])
    desk.free(drafts)
    return rolled


def _outcomes(
    place: int,
    known: Sequence[tuple[tuple[int, ...], str | None]],
    endings: dict[tuple[int, ...], list[str | None]],
    chain: Chain,
) -> tuple[tuple[str | None, ...], ...]:
    found = []
    for step in chain.steps[:-1]:
        prefix = tuple(chain.token_ids[: step.tokens[1]])
        others = [
            answer
            for other, (token_ids, answer) in enumerate(known)
            if other != place and token_ids[: len(prefix)] == prefix
        ]
        found.append((*endings[prefix], *others))
    return (*found, (known[place][1],))
