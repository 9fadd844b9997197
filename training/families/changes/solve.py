"""Exact solutions: a step for every change that is needed, and the step that closes the matter."""

from __future__ import annotations

from collections.abc import Sequence

from training.families.changes.content import Content, Fact, Move
from training.families.changes.wording import CONTRADICTED, TOGETHER
from training.families.writing import ARITHMETIC
from training.problems import CONTRADICTION, UNKNOWN, SolutionStep

Solution = tuple[tuple[SolutionStep, ...], str]


class Solver:
    """Follows the story from its beginning, as far as it is needed and can be followed."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.values: dict[str, int] = {}
        self.source: dict[str, int] = {}  # whose value comes from which step
        self.given: dict[str, int] = {}  # whose value comes from which fact
        self.steps: list[SolutionStep] = []

    def solve(self) -> Solution:
        """The steps and the answer."""
        needed = self.content.needed()
        for index, fact in enumerate(self.content.facts):
            if fact.told and (index, fact.person) in needed:
                if self.values.setdefault(fact.person, fact.amount) != fact.amount:
                    return self._contradict(index, fact)
                if fact.verb == "start":
                    self.given[fact.person] = index
            for move in self.content.moves(fact):
                if (index, move.person) not in needed:
                    continue
                if stopped := self._stop(move.person, *([move.by] if isinstance(move.by, str) else [])):
                    return stopped
                if fact.vague:
                    return self._end(fact.unsaid(self.content.item), UNKNOWN, facts=[index])
                self._move(move, index)
        if stopped := self._stop(*self.content.of):
            return stopped
        answer = self._close() if self.content.asks == "together" else self.values[self.content.of[0]]
        return tuple(self.steps), str(answer)

    def _move(self, move: Move, index: int) -> None:
        assert move.by is not None
        people = [move.person]
        by = move.by
        if isinstance(by, str):
            people.append(by)
            by = self.values[by]
        before = self.values[move.person]
        after = round(ARITHMETIC[move.sign](before, by))
        self._add(f"{move.words}: {before} {move.sign} {by} = {after}.", people, [index])
        self.values[move.person] = after
        self.source[move.person] = len(self.steps) - 1

    def _close(self) -> int:
        a, b = self.content.of
        total = self.values[a] + self.values[b]
        words = TOGETHER.format(a=a, b=b)
        self._add(f"{words}: {self.values[a]} + {self.values[b]} = {total}.", self.content.of, [])
        return total

    def _stop(self, *people: str) -> Solution | None:
        """The end of the solution if it is not said what one of these people has at first."""
        for person in people:
            if person not in self.values:
                return self._end(Fact(person, "start").unsaid(self.content.item), UNKNOWN)
        return None

    def _contradict(self, index: int, fact: Fact) -> Solution:
        value = self.values[fact.person]
        words = CONTRADICTED.format(a=fact.person, v=value, w=fact.amount, x=self.content.item)
        return self._end(words, CONTRADICTION, people=[fact.person], facts=[index])

    def _end(
        self, words: str, answer: str, *, people: Sequence[str] = (), facts: Sequence[int] = ()
    ) -> Solution:
        self._add(words, people, facts)
        return tuple(self.steps), answer

    def _add(self, text: str, people: Sequence[str], facts: Sequence[int]) -> None:
        """A step that uses these people's values and these facts."""
        used = {*facts, *(self.given[p] for p in people if p not in self.source)}
        earlier = sorted(self.source[p] for p in people if p in self.source)
        self.steps.append(SolutionStep(text=text, facts=tuple(sorted(used)), steps=tuple(earlier)))
