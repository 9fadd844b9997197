"""The values that a question tells and that a chain works out, by whom or what they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mch_runtime.inverse.clauses import Clause

RELATED = frozenset(("more", "less", "times", "part"))

Owner = frozenset[str]


@dataclass
class Ledger:
    """What is known while a chain is read.

    told: values that the question gives an owner, each with the index of its sentence. worked: the results of
    steps, the latest last, each with the index of its step. unsure: owners that a sentence may mean. asserted:
    every number of the question; mentioned: of steps that are not wrong. wrong: values that a wrong step worked out, with its index.
    """

    told: dict[Owner, dict[Fraction, int]] = field(default_factory=dict)
    worked: dict[Owner, list[tuple[Fraction, int]]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    asserted: set[Fraction] = field(default_factory=set)
    results: dict[Fraction, int] = field(default_factory=dict)
    wrong: dict[Fraction, int] = field(default_factory=dict)
    mentioned: set[Fraction] = field(default_factory=set)

    def copied(self) -> Ledger:
        """Another one that says the same; what is taken in by one of them is not in the other."""
        return Ledger(
            told={owner: dict(values) for owner, values in self.told.items()},
            worked={owner: list(values) for owner, values in self.worked.items()},
            unsure=set(self.unsure),
            asserted=set(self.asserted),
            results=dict(self.results),
            wrong=dict(self.wrong),
            mentioned=set(self.mentioned),
        )

    def mentions(self, value: Fraction) -> bool:
        """Whether the question or a step that is not wrong has this number."""
        return value in self.asserted or value in self.results or value in self.mentioned

    def tell(self, clause: Clause) -> None:
        """Take in a clause of the question."""
        self.asserted |= clause.values
        if clause.is_question or clause.relations & RELATED or not clause.numbers:
            return
        if clause.loose or len(clause.topics) > 2:
            self.unsure.update(clause.topics)
        for owner in owners(clause.topics):
            kept = self.told.setdefault(owner, {})
            for value in clause.values:
                kept.setdefault(value, clause.source)

    def work_out(self, topics: Sequence[str], value: Fraction, step: int, *, owned: bool) -> None:
        """Take in the result of a step; owned: it is its first topic's from now on."""
        self.results.setdefault(value, step)
        self.wrong.pop(value, None)
        if owned and topics:
            self.worked.setdefault(frozenset(topics[:1]), []).append((value, step))
        if len(topics) > 1:
            self.worked.setdefault(frozenset(topics[:2]), []).append((value, step))

    def values(self, topics: Iterable[str]) -> dict[Fraction, str]:
        """Every value that may be meant by one of the topics, with where it is from."""
        found: dict[Fraction, str] = {}
        every = tuple(topics)
        held = owners(every, every=True)
        if len(every) == 1:
            held += [owner for owner in self.worked if len(owner) > 1 and every[0] in owner]
        for owner in held:
            worked = self.worked.get(owner, [])
            for value, step in worked[-1:] if len(owner) == 1 else worked:
                found.setdefault(value, step_name(step))
            if not worked and len(owner) == 1:
                found |= {
                    value: sentence_name(source)
                    for value, source in self.told.get(owner, {}).items()
                    if value not in found
                }
        return found

    def history(self, topic: str) -> set[Fraction]:
        """Every value the topic ever had."""
        worked = {value for owner, kept in self.worked.items() if topic in owner for value, _ in kept}
        return worked | set(self.told.get(frozenset((topic,)), ()))


def owners(topics: tuple[str, ...], *, every: bool = False) -> list[Owner]:
    """One topic, or a pair of them, can own a value; ``every``: all singles and pairs."""
    singles = [frozenset((topic,)) for topic in topics]
    pairs = [frozenset((a, b)) for i, a in enumerate(topics) for b in topics[i + 1 :]]
    if every:
        return [*singles, *pairs]
    return singles if len(topics) == 1 else pairs[:1]


def sentence_name(index: int) -> str:
    """As renderers number the sentences of the question."""
    return f"Q{index + 1}"


def step_name(index: int) -> str:
    return f"step {index + 1}"
