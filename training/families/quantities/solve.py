"""Exact solutions: a step for every relation that is needed, and the step that closes the matter."""

from __future__ import annotations

from collections.abc import Sequence

from training.families.quantities.content import Content, Fact
from training.families.quantities.wording import CLOSINGS, CONTRADICTED, MISSING, RELATIONS
from training.families.writing import ARITHMETIC
from training.problems import CONTRADICTION, UNKNOWN, SolutionStep


class Solver:
    """Walks the facts in order of use. ``told`` is the order in which the question has them."""

    def __init__(self, content: Content, told: Sequence[Fact]) -> None:
        self.content = content
        self.place = {fact: index for index, fact in enumerate(told)}
        self.values: dict[str, int] = {}
        self.source: dict[str, int] = {}  # whose value comes from which step
        self.given: dict[str, int] = {}  # whose value comes from which fact
        self.steps: list[SolutionStep] = []

    def solve(self) -> tuple[tuple[SolutionStep, ...], str]:
        """The steps and the answer."""
        for fact in self.content.facts:
            if fact.relation != "is" and fact.reference in self.values:
                self._relate(fact)
            elif fact.relation == "is" and fact.subject in self.values:
                return self._contradict(fact)
            elif fact.relation == "is":
                self.values[fact.subject] = fact.amount
                self.given[fact.subject] = self.place[fact]
        if self.content.flaw:
            words = MISSING.format(a=self.content.flaw, x=self.content.item)
            self.steps.append(SolutionStep(text=words, facts=(), steps=()))
            return tuple(self.steps), UNKNOWN
        answer = self._close() if self.content.asks in CLOSINGS else self.values[self.content.of[0]]
        return tuple(self.steps), str(answer)

    def _relate(self, fact: Fact) -> None:
        relation = RELATIONS[fact.relation]
        before = self.values[fact.reference]
        after = relation.apply(before, fact.amount)
        words = relation.statement(fact.subject, fact.amount, fact.reference, self.content.item)
        self._add(
            f"{words}: {before} {relation.sign} {fact.amount} = {after}.",
            [fact.reference],
            [self.place[fact]],
        )
        self.values[fact.subject] = after
        self.source[fact.subject] = len(self.steps) - 1

    def _close(self) -> int:
        sign, pattern = CLOSINGS[self.content.asks]
        a, b = self.content.of
        words = pattern.format(a=a, b=b, x=self.content.item)
        total = round(ARITHMETIC[sign](self.values[a], self.values[b]))
        self._add(f"{words}: {self.values[a]} {sign} {self.values[b]} = {total}.", self.content.of, [])
        return total

    def _contradict(self, fact: Fact) -> tuple[tuple[SolutionStep, ...], str]:
        person = fact.subject
        words = CONTRADICTED.format(a=person, v=self.values[person], w=fact.amount, x=self.content.item)
        self._add(words, [person], [self.place[fact]])
        return tuple(self.steps), CONTRADICTION

    def _add(self, text: str, people: Sequence[str], facts: Sequence[int]) -> None:
        """A step that uses these people's values and these facts."""
        used = [*facts, *(self.given[p] for p in people if p in self.given)]
        earlier = sorted(self.source[p] for p in people if p in self.source)
        self.steps.append(SolutionStep(text=text, facts=tuple(sorted(used)), steps=tuple(earlier)))
