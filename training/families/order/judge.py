"""Any chain about an ``order`` problem, judged line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise

from training.families.judging import NOT_A_STEP, ChainJudge
from training.families.order.content import OPEN, Content, Pair, Place, closure, ordered, place
from training.families.order.wording import ABOVE, CLOSINGS, CONTRADICTED, JOINED, MISSING, STATEMENT
from training.families.writing import match_pattern
from training.problems import CONTRADICTION, UNFOUNDED, UNKNOWN

ROW = re.compile(rf"(?P<facts>.+): (?P<row>\w+(?:{ABOVE}\w+)+)\.")
CLASH = re.compile(CONTRADICTED.replace(".", r"\.").format(one="(.+)", other="(.+)"))


class Judge(ChainJudge[list[tuple[str, ...]]]):
    """Reads a chain line by line, keeping the rows of people that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        super().__init__(answer, [])
        self.content = content
        self.people = content.people
        self.place = content.place
        self.told = {fact.pair for fact in content.facts}

    def _grounds(self) -> Iterator[Set[Pair]]:
        """What a step may rest on, one at a time: a row stated by the chain, or a fact."""
        yield from (ordered(row) for row in self.stated)
        yield from ({pair} for pair in self.told)

    def follows(self, said: str) -> bool:
        if self.result is not None:
            return said == self.result
        holders = (self.place.holder(ground) for ground in self._grounds())
        return any(said == self.content.answer(holder) for holder in holders if holder)

    def step(self, said: str) -> str:
        if (parsed := ROW.fullmatch(said)) is not None:
            pairs = [self._pair(words) for words in parsed["facts"].split(JOINED)]
            restated = {pair for pair in pairs if pair}
            return self._row(restated, tuple(parsed["row"].split(ABOVE))) if all(pairs) else NOT_A_STEP
        if (clash := CLASH.fullmatch(said)) is not None:
            one, other = (self._pair(words) for words in clash.groups())
            return self._clash(one, other) if one and other else NOT_A_STEP
        for reason in (self._missing(said), self._closing(said)):
            if reason is not None:
                return reason
        return NOT_A_STEP

    def _pair(self, words: str) -> Pair | None:
        """The two people of a comparison in a step's words."""
        for more in (True, False):
            match = match_pattern(STATEMENT, words, w=self.content.dimension.word(more=more).than)
            if match is not None:
                return (match["x"], match["y"]) if more else (match["y"], match["x"])
        return None

    def _row(self, restated: set[Pair], row: tuple[str, ...]) -> str:
        """Judge a step that puts people in a row; from then on the row is the chain's own."""
        reason = self._row_reason(restated, row)
        if len(set(row)) == len(row) and self.people.issuperset(row):
            self.stated = [earlier for earlier in self.stated if not set(earlier) <= set(row)]
            self.stated.append(row)
        return reason

    def _row_reason(self, restated: set[Pair], row: tuple[str, ...]) -> str:
        if not restated <= self.told or not self.people.issuperset(row):
            return "invented fact"
        if len(set(row)) < len(row):
            return UNFOUNDED
        in_row = ordered(row)
        if not restated <= in_row:
            return UNFOUNDED if _people(restated) <= set(row) else "wrong operand"
        bases = [set[Pair](), *self._grounds()]
        if any(_row_follows(row, in_row, restated | base) for base in bases):
            return ""
        # The right people in a wrong order, or people that nothing connects?
        named = _people(restated)
        meant = (named | others for base in bases if not (others := _people(base)) or others & named)
        return UNFOUNDED if set(row) in meant else "wrong operand"

    def _clash(self, one: Pair, other: Pair) -> str:
        """Judge a step that says that the facts contradict each other."""
        self.result = CONTRADICTION
        founded = other in self.told and any(one in ground for ground in self._grounds())
        return "" if founded and one == other[::-1] else "no contradiction"

    def _missing(self, said: str) -> str | None:
        """Judge a step that says why there is no answer; None if it does not."""
        for found, _ in self._places(MISSING, said):
            if found == self.place:
                self.result = UNKNOWN
            if not found.among <= self.people:
                return "invented fact"
            known = closure(self.told)
            clashes = any(pair in known and pair[::-1] in known for pair in ordered(tuple(found.among)))
            return "it is said" if clashes or found.holder(known) else ""
        return None

    def _closing(self, said: str) -> str | None:
        """Judge a step that says who holds a place; None if it does not."""
        for found, names in self._places(CLOSINGS, said):
            holder = names["x"]
            if not {holder, *found.among} <= self.people:
                return "invented fact"
            if holder in found.among and found == self.place:
                self.result = self.content.answer(holder)
            return "" if any(found.holder(ground) == holder for ground in self._grounds()) else UNFOUNDED
        return None

    def _places(self, patterns: Mapping[str, str], said: str) -> Iterator[tuple[Place, dict[str, str]]]:
        """The place a sentence is about, and the names in it; nothing if it reads like none."""
        for asks, pattern in patterns.items():
            for more in (True, False):
                word = self.content.dimension.word(more=more)
                match = match_pattern(pattern, said, w=word.than, s=word.most)
                if match is None:
                    continue
                names = match.groupdict()
                if asks == "compare" and not more and "x" in names:
                    names = {"x": names["y"], "y": names["x"]}
                about = [name for field, name in names.items() if (asks, field) != ("group", "x")]
                among = self.people if asks in OPEN else frozenset(about)
                if asks in OPEN or len(among) == len(about):
                    yield place(asks, among, more=more), names
                return


def _people(above: Set[Pair]) -> set[str]:
    return {name for pair in above for name in pair}


def _row_follows(row: Sequence[str], in_row: Set[Pair], above: Set[Pair]) -> bool:
    """Whether a row follows from comparisons none of which it denies."""
    if any(pair[::-1] in in_row for pair in above):
        return False
    neighbours = set(pairwise(row))
    return neighbours <= above or neighbours <= closure(above)
