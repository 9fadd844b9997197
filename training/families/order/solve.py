"""Exact solutions: a row of people that grows by one fact per step, and the step that closes the matter."""

from __future__ import annotations

from training.families.order.content import PAIRED, Content, Fact, ordered
from training.families.order.wording import ABOVE, CLOSINGS, CONTRADICTED, JOINED, MISSING
from training.problems import CONTRADICTION, UNKNOWN, SolutionStep


class Solver:
    """Starts from the person asked about first and takes the first fact told that makes the row longer.

    A question that names nobody starts from the first fact. The row has the most in front.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.row: tuple[str, ...] = content.of[:1]
        self.open = list(content.needed)
        self.fresh: list[Fact] = []  # in the row, but not yet in a step
        self.steps: list[SolutionStep] = []

    def solve(self) -> tuple[tuple[SolutionStep, ...], str]:
        """The steps and the answer."""
        if not self.row:
            self._take(self.open[0], self.open[0].pair)
        among = self.content.place.among
        while True:
            if clash := next((fact for fact in self.open if self._is_denied(fact)), None):
                return self._contradict(clash)
            if among <= set(self.row):
                return self._close()
            if not self._grow():
                self._add(self._words(MISSING, *self.content.of))
                return tuple(self.steps), UNKNOWN

    def _is_denied(self, fact: Fact) -> bool:
        return fact.pair[::-1] in ordered(self.row)

    def _grow(self) -> bool:
        """Put somebody at one of the row's ends; False if no fact does."""
        for fact in self.open:
            high, low = fact.pair
            if high == self.row[-1] and low not in self.row:
                self._take(fact, (*self.row, low))
                return True
            if low == self.row[0] and high not in self.row:
                self._take(fact, (high, *self.row))
                return True
        return False

    def _take(self, fact: Fact, row: tuple[str, ...]) -> None:
        """The row with the fact in it. Two people are no step: they are what the fact says."""
        self.open.remove(fact)
        self.fresh.append(fact)
        self.row = row
        if len(row) > 2:
            facts = JOINED.join(one.statement(self.content.dimension) for one in self.fresh)
            self._add(f"{facts}: {ABOVE.join(row)}.")

    def _close(self) -> tuple[tuple[SolutionStep, ...], str]:
        content = self.content
        holder = content.place.holder(ordered(self.row))
        assert holder is not None  # everybody who is asked about is in the row
        answer = content.answer(holder)
        if content.asks in PAIRED:
            # About the person asked first, or the one who is the answer.
            subject = content.of[0] if content.asks == "compare" else answer
            other = content.of[1 - content.of.index(subject)]
            self._add(f"{Fact(subject, subject == holder, other).statement(content.dimension)}.")
        elif content.asks == "middle":
            high, _, low = (name for name in self.row if name in content.of)
            self._add(CLOSINGS["middle"].format(x=answer, y=high, z=low))
        else:
            self._add(self._words(CLOSINGS, *content.of, x=answer))
        return tuple(self.steps), answer

    def _contradict(self, clash: Fact) -> tuple[tuple[SolutionStep, ...], str]:
        denied = Fact(clash.subject, not clash.more, clash.reference)
        self.fresh.append(clash)
        dimension = self.content.dimension
        words = CONTRADICTED.format(one=denied.statement(dimension), other=clash.statement(dimension))
        self._add(words)
        return tuple(self.steps), CONTRADICTION

    def _words(self, patterns: dict[str, str], *of: str, x: str = "") -> str:
        content = self.content
        word = content.dimension.word(more=content.more)
        pattern = patterns["compare" if content.asks in PAIRED else content.asks]
        return pattern.format(w=word.than, s=word.most, x=x, **dict(zip("abc", of, strict=False)))

    def _add(self, text: str) -> None:
        """A step that uses the row so far and the facts that no step has used."""
        used = sorted(self.content.facts.index(fact) for fact in self.fresh)
        before = (len(self.steps) - 1,) if self.steps else ()
        self.steps.append(SolutionStep(text=text, facts=tuple(used), steps=before))
        self.fresh = []
