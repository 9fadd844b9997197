"""Any chain about a ``prices`` problem, judged line by line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations

from training.families.prices.content import Content, Quantity, goods
from training.families.prices.wording import (
    CHANGE,
    CONTRADICTED,
    COST,
    DIFFERENCE,
    MISSING,
    OFF,
    RELATIONS,
    one,
    one_first,
)
from training.families.writing import ARITHMETIC, EQUATION, body, match_pattern
from training.problems import CONTRADICTION, UNKNOWN, ChainLabels, judge_lines

TOGETHER_WORDS = re.compile(r"(?P<p>\w+)'s (?P<g>[\w ,]+) together")

# What a step works out, its sign, and what its operands may be.
Reading = tuple[Quantity, str, set[int], set[int]]


class Judge:
    """Reads a chain line by line, keeping the values that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        self.content = content
        self.answer = answer
        self.claims = _claims(content)
        self.unsaid = content.unsaid()
        self.needed = content.needed()
        self.stated: dict[Quantity, int] = {}
        self.outcome = ""  # "unknown" or "contradiction", as the chain has argued

    def judge(self, lines: Sequence[str]) -> ChainLabels:
        """Labels for every line, the answer line included."""
        return judge_lines(lines, answer=self.answer, step=self._step, follows=self._follows)

    def _follows(self, said: str) -> bool:
        if said in (UNKNOWN, CONTRADICTION):
            return self.outcome == said
        asks, of = self.content.asks, self.content.of
        asked = {"cost": goods(of[0], of[1:]), "pay": ("pays", *of)}.get(asks, (asks, *of))
        return said in {str(value) for value in self._values(asked)}

    def _values(self, quantity: Quantity) -> set[int]:
        """What a quantity is by the facts and the chain: facts may tell it twice."""
        kind, subject = quantity[:2]
        values = {self.stated[quantity]} if quantity in self.stated else set()
        if kind in ("price", "pays"):
            told = self.content.about(subject, "costs" if kind == "price" else "pays")
            values |= {self.content.facts[k].amount for k in told}
        if kind == "pays" and not self.content.about(subject, "off"):
            values |= self._values(goods(subject, self.content.basket(subject)))
        return values

    def _step(self, line: str) -> str:
        """Why the step is not valid, or "" if it is."""
        said = body(line)
        if said is None:
            return "not a step"
        parsed = EQUATION.fullmatch(said)
        if parsed is None:
            return self._flaw(said)
        a, b, c = int(parsed["a"]), int(parsed["b"]), int(parsed["c"])
        reading = self._reading(parsed["words"])
        if reading is None:
            return "invented fact"
        quantity, sign, left, right = reading
        self.stated[quantity] = c
        if parsed["sign"] != sign or a not in left or b not in right:
            return "wrong operand"
        return "" if ARITHMETIC[sign](a, b) == c else "wrong arithmetic"

    def _reading(self, words: str) -> Reading | None:
        """What a step says it works out; None if no fact reads like this."""
        for read in (self._fact, self._cost, self._together, self._difference):
            reading = read(words)
            if reading is not None:
                return reading
        return None

    def _fact(self, words: str) -> Reading | None:
        """A step that restates a relation of prices, a discount or a note."""
        for fact in self.content.facts:
            subject, amount = fact.subject, fact.amount
            if fact.kind in RELATIONS:
                relation = RELATIONS[fact.kind]
                if words == relation.statement(subject, amount, fact.reference):
                    return (
                        ("price", subject),
                        relation.sign,
                        self._values(("price", fact.reference)),
                        {amount},
                    )
            elif fact.kind == "off" and words == OFF.format(p=subject, n=amount):
                bought = goods(subject, self.content.basket(subject))
                return ("pays", subject), "-", self._values(bought), {amount}
            elif fact.kind == "note" and words == CHANGE.format(p=subject, n=amount):
                return ("change", subject), "-", {amount}, self._values(("pays", subject))
        return None

    def _cost(self, words: str) -> Reading | None:
        match = match_pattern(COST, words)
        if match is None:
            return None
        person, count, item = match["p"], match["n"], match["x"]
        said = self.content.basket(person).get(item)
        if not said or str(said) != count:
            return None
        return goods(person, [item]), "*", {said}, self._values(("price", item))

    def _together(self, words: str) -> Reading | None:
        match = TOGETHER_WORDS.fullmatch(words)
        if match is None:
            return None
        person, items = match["p"], re.split(r", | and ", match["g"])
        if (
            len(items) < 2
            or len(set(items)) < len(items)
            or not self.content.basket(person).keys() >= {*items}
        ):
            return None
        so_far, last = self._values(goods(person, items[:-1])), self._values(goods(person, items[-1:]))
        return goods(person, items), "+", so_far, last

    def _difference(self, words: str) -> Reading | None:
        for dear, cheap in permutations(self.content.items, 2):
            if words == DIFFERENCE.format(A=one_first(dear), b=one(cheap)):
                left, right = self._values(("price", dear)), self._values(("price", cheap))
                return ("difference", dear, cheap), "-", left, right
        return None

    def _flaw(self, said: str) -> str:
        """Judge a step that says why there is no answer."""
        reason = self._missing(said)
        return self._clash(said) if reason is None else reason

    def _missing(self, said: str) -> str | None:
        """Judge a step that says what is not said; None if it is no such step."""
        about = self.claims.get(said)
        if about is None and not any(match_pattern(_by_word(p), said) for p in MISSING.values()):
            return None
        if about is None or about in self.needed:
            self.outcome = UNKNOWN  # what nobody needs to know leaves the answer as it is
        if about is None:
            return "invented fact"
        return "" if about in self.unsaid else "it is said"

    def _clash(self, said: str) -> str:
        """Judge a step that says what is told twice."""
        subjects = [("price", item, {"A": one_first(item), "a": one(item)}) for item in self.content.items]
        subjects += [("pays", person, {"p": person}) for person in self.content.people]
        for kind, subject, names in subjects:
            match = match_pattern(CONTRADICTED[kind], said, **names)
            if match is None:
                continue
            self.outcome = CONTRADICTION
            told = self.content.about(subject, "costs" if kind == "price" else "pays")
            second = {str(self.content.facts[k].amount) for k in told}
            first = {str(value) for value in self._values((kind, subject))}
            is_clash = match["v"] != match["w"] and match["v"] in first and match["w"] in second
            return "" if is_clash else "no contradiction"
        if any(match_pattern(_by_word(pattern), said) for pattern in CONTRADICTED.values()):
            self.outcome = CONTRADICTION
            return "no contradiction"
        return "not a step"


def _claims(content: Content) -> dict[str, Quantity]:
    """Every sentence that says of something named in the question that it is not said."""
    claims: dict[str, Quantity] = {
        MISSING["price"].format(a=one(item)): ("price", item) for item in content.items
    }
    for person in content.people:
        claims[MISSING["note"].format(p=person)] = ("note", person)
        for item in content.basket(person):
            claims[MISSING["count"].format(x=item, p=person)] = ("count", person, item)
    return claims


def _by_word(pattern: str) -> str:
    """A pattern whose things are an article and a word each, so that they can be matched."""
    return pattern.replace("{A}", "{A} {x}").replace("{a}", "{a} {x}")
