"""Any chain about a ``changes`` problem, judged line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from training.families.changes.content import Content, Fact, Move
from training.families.changes.wording import CONTRADICTED, MISSING, TOGETHER
from training.families.judging import GUESSES, NOT_A_STEP, Claim, EquationJudge
from training.families.writing import ARITHMETIC, match_pattern
from training.problems import CONTRADICTION, UNKNOWN

# A person after so many changes to what that person has.
Stage = tuple[str, int]


class Judge(EquationJudge[dict[Stage, int]]):
    """Reads a chain line by line, keeping the values that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        super().__init__(answer, {})
        self.content = content
        self.people = content.people
        self.told: dict[Stage, set[int]] = {}
        self.moves: list[tuple[Move, dict[str, int]]] = []  # with everybody's stage before it
        self.last: Counter[str] = Counter()
        for fact in content.facts:
            self._place(fact)
        self.gaps = self._gaps()

    def _place(self, fact: Fact) -> None:
        """Give the fact its place in time."""
        if fact.told:
            self.told.setdefault((fact.person, self.last[fact.person]), set()).add(fact.amount)
        moves = self.content.moves(fact)
        self.moves += [(move, dict(self.last)) for move in moves]
        self.last.update(move.person for move in moves)
        if fact.verb == "gives all":
            self.last[fact.person] += 1
            self.told[fact.person, self.last[fact.person]] = {0}

    def _gaps(self) -> dict[str, tuple[bool, bool]]:
        """Every "It is not said" about this story: whether that is so, and whether it matters."""
        needed = self.content.needed()
        item = self.content.item
        matters = {person for _, person in needed} | set(self.content.of)
        gaps: dict[str, tuple[bool, bool]] = {}
        for person in self.people:
            gaps[Fact(person, "start").unsaid(item)] = ((person, 0) not in self.told, person in matters)
        for index, fact in enumerate(self.content.facts):
            if fact.told or fact.verb in ("gives all", "doubles", "triples", "halves"):
                continue
            words = fact.unsaid(item)
            if not gaps.get(words, (False, False))[0]:
                gaps[words] = (fact.vague, any(place == index for place, _ in needed))
        return gaps

    def follows(self, said: str) -> bool:
        if said in (UNKNOWN, CONTRADICTION) or self.content.asks != "amount":
            return self.result == said
        person = self.content.of[0]
        return said in map(str, self._values(person, self.last[person]))

    def _values(self, person: str, stage: int) -> set[int]:
        """What the chain or the question says that this person has then."""
        values = self.told.get((person, stage), set())
        return values | {self.stated[person, stage]} if (person, stage) in self.stated else values

    def equation(self, words: str, sign: str, a: int, b: int, c: int) -> str:
        reason = self._move(words, sign, a, b, c)
        if reason is None:
            reason = self._together(words, sign, a, b, c)
        return reason or ("" if ARITHMETIC[sign](a, b) == c else "wrong arithmetic")

    def claims(self) -> Iterator[Claim]:
        for fact in self.content.facts:
            for told in [replace(fact, amount=n) for n in GUESSES] if fact.vague else [fact]:
                for move in self.content.moves(told):
                    yield Claim(move.words, move.sign, b=move.by if isinstance(move.by, int) else None)
        if self.content.asks == "together":
            a, b = self.content.of
            yield Claim(TOGETHER.format(a=a, b=b), "+")

    def excuses(self) -> Iterator[str]:
        yield from sorted(self.gaps)
        for (person, stage), told in self.told.items():
            values = self._values(person, stage)
            for w in sorted(told | {fact.amount for fact in self.content.facts if fact.amount}):
                for v in sorted(values - {w}):
                    yield CONTRADICTED.format(a=person, v=v, w=w, x=self.content.item)

    def _move(self, words: str, sign: str, a: int, b: int, c: int) -> str | None:
        """Judge a step that restates a change; None if no change reads like this."""
        for move, stages in self.moves:
            if words != move.words or move.by is None:
                continue
            stage = stages.get(move.person, 0)
            by = self._values(move.by, stages.get(move.by, 0)) if isinstance(move.by, str) else {move.by}
            right = sign == move.sign and a in self._values(move.person, stage) and b in by
            self.stated[move.person, stage + 1] = c
            return "" if right else "wrong operand"
        return None

    def _together(self, words: str, sign: str, a: int, b: int, c: int) -> str:
        """Judge a step that adds what two people have in the end."""
        match = match_pattern(TOGETHER, words)
        if match is None or not {match["a"], match["b"]} <= self.people:
            return "invented fact"
        if self.content.asks == "together" and {match["a"], match["b"]} == set(self.content.of):
            self.result = str(c)
        one, other = (self._values(match[key], self.last[match[key]]) for key in "ab")
        return "" if sign == "+" and a in one and b in other else "wrong operand"

    def excuse(self, said: str) -> str:
        """Judge a step that says why there is no answer."""
        prefix = MISSING.format(x=self.content.item, what="").rstrip(".")
        if said.startswith(prefix):
            unsaid, matters = self.gaps.get(said, (False, False))
            # What is truly not said but does not matter is a right step from which nothing follows.
            if matters or not unsaid:
                self.result = UNKNOWN
            return "" if unsaid else "it is said" if said in self.gaps else "invented fact"
        clash = match_pattern(CONTRADICTED, said, x=self.content.item)
        if clash is None:
            return NOT_A_STEP
        self.result = CONTRADICTION
        person, one, other = clash["a"], clash["v"], clash["w"]
        for stage in range(self.last[person] + 1):
            values = map(str, self._values(person, stage))
            if one != other and one in values and other in map(str, self.told.get((person, stage), ())):
                return ""
        return "no contradiction"
