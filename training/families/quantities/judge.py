"""Any chain about a ``quantities`` problem, judged line by line."""

from __future__ import annotations

from collections.abc import Iterator

from training.families.judging import NOT_A_STEP, Claim, EquationJudge
from training.families.quantities.content import Content
from training.families.quantities.wording import CLOSINGS, CONTRADICTED, MISSING, RELATIONS
from training.families.writing import ARITHMETIC, match_pattern
from training.problems import CONTRADICTION, UNKNOWN


class Judge(EquationJudge[dict[str, int]]):
    """Reads a chain line by line, keeping the values that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        super().__init__(answer, {f.subject: f.amount for f in reversed(content.facts) if f.relation == "is"})
        self.content = content
        self.known = content.values()
        self.people = content.people
        self.told: dict[str, set[int]] = {}
        for fact in content.facts:
            if fact.relation == "is":
                self.told.setdefault(fact.subject, set()).add(fact.amount)

    def follows(self, said: str) -> bool:
        if said in (UNKNOWN, CONTRADICTION) or self.content.asks != "amount":
            return self.result == said
        return said == str(self.stated.get(self.content.of[0]))

    def equation(self, words: str, sign: str, a: int, b: int, c: int) -> str:
        right = ARITHMETIC[sign](a, b) == c
        for reason in (self._relation(words, sign, a, b, c), self._closing(words, sign, a, b, c)):
            if reason is not None:
                return reason or ("" if right else "wrong arithmetic")
        return "invented fact"

    def claims(self) -> Iterator[Claim]:
        for fact in self.content.facts:
            if fact.relation in RELATIONS:
                relation = RELATIONS[fact.relation]
                words = relation.statement(fact.subject, fact.amount, fact.reference, self.content.item)
                yield Claim(words, relation.sign, b=fact.amount)
        if self.content.asks in CLOSINGS:
            sign, pattern = CLOSINGS[self.content.asks]
            a, b = self.content.of
            yield Claim(pattern.format(a=a, b=b, x=self.content.item), sign)

    def excuses(self) -> Iterator[str]:
        for person in sorted(self.people):
            yield MISSING.format(a=person, x=self.content.item)
            for v in sorted({self.known.get(person), self.stated.get(person)} - {None}, key=str):
                for w in sorted(self.told.get(person, ()) or {fact.amount for fact in self.content.facts}):
                    if v != w:
                        yield CONTRADICTED.format(a=person, v=v, w=w, x=self.content.item)

    def _relation(self, words: str, sign: str, a: int, b: int, c: int) -> str | None:
        """Judge a step that restates a fact; None if no fact reads like this."""
        for fact in self.content.facts:
            relation = RELATIONS.get(fact.relation)
            if relation is None:
                continue
            if words != relation.statement(fact.subject, fact.amount, fact.reference, self.content.item):
                continue
            known = self.stated.get(fact.reference)
            self.stated[fact.subject] = c
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
            values = (self.stated.get(match["a"]), self.stated.get(match["b"]))
            return "" if sign == closing_sign and values == (a, b) else "wrong operand"
        return None

    def excuse(self, said: str) -> str:
        """Judge a step that says why there is no answer."""
        missing = match_pattern(MISSING, said, x=self.content.item)
        if missing is not None:
            self.result = UNKNOWN
            if missing["a"] not in self.people:
                return "invented fact"
            return "it is said" if missing["a"] in self.known else ""
        clash = match_pattern(CONTRADICTED, said, x=self.content.item)
        if clash is None:
            return NOT_A_STEP
        self.result = CONTRADICTION
        person, one, other = clash["a"], clash["v"], clash["w"]
        told = {str(amount) for amount in self.told.get(person, ())}
        stated = told | {str(self.stated.get(person))}
        return "" if one != other and one in stated and other in told else "no contradiction"
