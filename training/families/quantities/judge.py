"""Any chain about a ``quantities`` problem, judged line by line."""

from __future__ import annotations

from collections.abc import Sequence

from training.families.quantities.content import Content
from training.families.quantities.wording import CLOSINGS, CONTRADICTED, MISSING, RELATIONS
from training.families.writing import ARITHMETIC, EQUATION, body, match_pattern
from training.problems import CONTRADICTION, UNKNOWN, ChainLabels, judge_lines


class Judge:
    """Reads a chain line by line, keeping the values that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        self.content = content
        self.answer = answer
        self.known = content.values()
        self.people = content.people
        self.told: dict[str, set[int]] = {}
        for fact in content.facts:
            if fact.relation == "is":
                self.told.setdefault(fact.subject, set()).add(fact.amount)
        self.values = {f.subject: f.amount for f in reversed(content.facts) if f.relation == "is"}
        self.result: str | None = None

    def judge(self, lines: Sequence[str]) -> ChainLabels:
        """Labels for every line, the answer line included."""
        return judge_lines(lines, answer=self.answer, step=self._step, follows=self._follows)

    def _follows(self, said: str) -> bool:
        if said in (UNKNOWN, CONTRADICTION) or self.content.asks != "amount":
            return self.result == said
        return said == str(self.values.get(self.content.of[0]))

    def _step(self, line: str) -> str:
        """Why the step is not valid, or "" if it is."""
        said = body(line)
        if said is None:
            return "not a step"
        parsed = EQUATION.fullmatch(said)
        if parsed is None:
            return self._flaw(said)
        a, b, c = int(parsed["a"]), int(parsed["b"]), int(parsed["c"])
        right = ARITHMETIC[parsed["sign"]](a, b) == c
        words, sign = parsed["words"], parsed["sign"]
        for reason in (self._relation(words, sign, a, b, c), self._closing(words, sign, a, b, c)):
            if reason is not None:
                return reason or ("" if right else "wrong arithmetic")
        return "invented fact"

    def _relation(self, words: str, sign: str, a: int, b: int, c: int) -> str | None:
        """Judge a step that restates a fact; None if no fact reads like this."""
        for fact in self.content.facts:
            relation = RELATIONS.get(fact.relation)
            if relation is None:
                continue
            if words != relation.statement(fact.subject, fact.amount, fact.reference, self.content.item):
                continue
            known = self.values.get(fact.reference)
            self.values[fact.subject] = c
            return "" if sign == relation.sign and a == known and b == fact.amount else "wrong operand"
        return None

    def _closing(self, words: str, sign: str, a: int, b: int, c: int) -> str | None:
        """Judge a step that adds or compares two people; None if it does neither."""
        for asks, (closing_sign, pattern) in CLOSINGS.items():
            match = match_pattern(pattern, words, x=self.content.item)
            if match is None or not {match["a"], match["b"]} <= self.people:
                continue
            if asks == self.content.asks and {match["a"], match["b"]} == set(self.content.of):
                self.result = str(c)
            values = (self.values.get(match["a"]), self.values.get(match["b"]))
            return "" if sign == closing_sign and values == (a, b) else "wrong operand"
        return None

    def _flaw(self, said: str) -> str:
        """Judge a step that says why there is no answer."""
        missing = match_pattern(MISSING, said, x=self.content.item)
        if missing is not None:
            self.result = UNKNOWN
            if missing["a"] not in self.people:
                return "invented fact"
            return "it is said" if missing["a"] in self.known else ""
        clash = match_pattern(CONTRADICTED, said, x=self.content.item)
        if clash is None:
            return "not a step"
        self.result = CONTRADICTION
        person, one, other = clash["a"], clash["v"], clash["w"]
        told = {str(amount) for amount in self.told.get(person, ())}
        stated = told | {str(self.values.get(person))}
        return "" if one != other and one in stated and other in told else "no contradiction"
