"""Any chain about a ``prices`` problem, judged line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations

from training.families.judging import GUESSES, NOT_A_STEP, Claim, EquationJudge
from training.families.prices.content import Content, Quantity, goods
from training.families.prices.wording import (
    CHANGE,
    CONTRADICTED,
    COST,
    DIFFERENCE,
    MISSING,
    OFF,
    RELATIONS,
    TOGETHER,
    listing,
    one,
    one_first,
)
from training.families.writing import ARITHMETIC, match_pattern
from training.problems import CONTRADICTION, UNKNOWN

TOGETHER_WORDS = re.compile(r"(?P<p>\w+)'s (?P<g>[\w ,]+) together")

# What a step works out, its sign, and what its operands may be.
Reading = tuple[Quantity, str, set[int], set[int]]


class Judge(EquationJudge[dict[Quantity, int]]):
    """Reads a chain line by line, keeping the values that the chain itself has stated."""

    def __init__(self, content: Content, answer: str) -> None:
        super().__init__(answer, {})
        self.content = content
        self.claimed = _claims(content)
        self.unsaid = content.unsaid()
        self.needed = content.needed()

    def follows(self, said: str) -> bool:
        if said in (UNKNOWN, CONTRADICTION):
            return self.result == said
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

    def equation(self, words: str, sign: str, a: int, b: int, c: int) -> str:
        reading = self._reading(words)
        if reading is None:
            return "invented fact"
        quantity, right_sign, left, right = reading
        self.stated[quantity] = c
        if sign != right_sign or a not in left or b not in right:
            return "wrong operand"
        return "" if ARITHMETIC[sign](a, b) == c else "wrong arithmetic"

    def claims(self) -> Iterator[Claim]:
        for fact in self.content.facts:
            subject, amount = fact.subject, fact.amount
            if fact.kind in RELATIONS:
                relation = RELATIONS[fact.kind]
                yield Claim(relation.statement(subject, amount, fact.reference), relation.sign, b=amount)
            elif fact.kind == "off":
                yield Claim(OFF.format(p=subject, n=amount), "-", b=amount)
            elif fact.kind == "note":
                yield Claim(CHANGE.format(p=subject, n=amount), "-", a=amount)
            elif fact.kind == "buys":
                for count, item in fact.basket:
                    for n in (count,) if count else GUESSES:
                        yield Claim(COST.format(p=subject, n=n, x=item), "*", a=n)
                if len(fact.basket) > 1:
                    goods_words = listing([item for _, item in fact.basket])
                    yield Claim(TOGETHER.format(p=subject, g=goods_words), "+")
        if self.content.asks == "difference":
            dear, cheap = self.content.of
            yield Claim(DIFFERENCE.format(A=one_first(dear), b=one(cheap)), "-")

    def excuses(self) -> Iterator[str]:
        yield from sorted(self.claimed)
        amounts = sorted({fact.amount for fact in self.content.facts if fact.amount})
        for kind, subject, names in self._tellable():
            for v in sorted(self._values((kind, subject))):
                for w in amounts:
                    if v != w:
                        yield CONTRADICTED[kind].format(v=v, w=w, **names)

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

    def excuse(self, said: str) -> str:
        """Judge a step that says why there is no answer."""
        reason = self._missing(said)
        return self._clash(said) if reason is None else reason

    def _missing(self, said: str) -> str | None:
        """Judge a step that says what is not said; None if it is no such step."""
        about = self.claimed.get(said)
        if about is None and not any(match_pattern(_by_word(p), said) for p in MISSING.values()):
            return None
        if about is None or about in self.needed:
            self.result = UNKNOWN  # what nobody needs to know leaves the answer as it is
        if about is None:
            return "invented fact"
        return "" if about in self.unsaid else "it is said"

    def _tellable(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """What the question may tell outright, prices and sums, and how a contradiction names it."""
        for item in sorted(self.content.items):
            yield "price", item, {"A": one_first(item), "a": one(item)}
        for person in sorted(self.content.people):
            yield "pays", person, {"p": person}

    def _clash(self, said: str) -> str:
        """Judge a step that says what is told twice."""
        for kind, subject, names in self._tellable():
            match = match_pattern(CONTRADICTED[kind], said, **names)
            if match is None:
                continue
            self.result = CONTRADICTION
            told = self.content.about(subject, "costs" if kind == "price" else "pays")
            second = {str(self.content.facts[k].amount) for k in told}
            first = {str(value) for value in self._values((kind, subject))}
            is_clash = match["v"] != match["w"] and match["v"] in first and match["w"] in second
            return "" if is_clash else "no contradiction"
        if any(match_pattern(_by_word(pattern), said) for pattern in CONTRADICTED.values()):
            self.result = CONTRADICTION
            return "no contradiction"
        return NOT_A_STEP


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
