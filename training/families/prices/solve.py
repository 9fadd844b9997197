"""Exact solutions: what the question needs, computed in the order in which it is needed."""

from __future__ import annotations

from collections.abc import Sequence

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
from training.families.writing import ARITHMETIC
from training.problems import CONTRADICTION, UNKNOWN, SolutionStep


class NoAnswer(Exception):  # noqa: N818 - an outcome, not a mistake
    """The facts give no answer; the last step says why."""


class Solver:
    """Walks back from what is asked to the facts; every quantity is computed once."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.steps: list[SolutionStep] = []
        self.values: dict[Quantity, int] = {}
        self.given: dict[Quantity, int] = {}  # which quantity comes from which fact
        self.source: dict[Quantity, int] = {}  # which quantity comes from which step

    def solve(self) -> tuple[tuple[SolutionStep, ...], str]:
        """The steps and the answer."""
        of = self.content.of
        try:
            match self.content.asks:
                case "price":
                    asked = self._price(of[0])
                case "difference":
                    asked = self._difference(*of)
                case "cost":
                    asked = self._cost(*of)
                case "pay":
                    asked = self._pays(of[0])
                case _:
                    asked = self._change(of[0])
        except NoAnswer as outcome:
            return tuple(self.steps), str(outcome)
        return tuple(self.steps), str(self.values[asked])

    def _price(self, item: str) -> Quantity:
        price = ("price", item)
        if price in self.values:
            return price
        relations, told = self.content.about(item, *RELATIONS), self.content.about(item, "costs")
        for k in relations:
            fact = self.content.facts[k]
            relation = RELATIONS[fact.kind]
            words = relation.statement(item, fact.amount, fact.reference)
            self._compute(price, words, self._price(fact.reference), relation.sign, fact.amount, facts=[k])
        for k in told:
            self._tell(price, k, CONTRADICTED["price"], A=one_first(item), a=one(item))
        if price not in self.values:
            raise self._missing(MISSING["price"].format(a=one(item)))
        return price

    def _cost(self, person: str, item: str) -> Quantity:
        cost = goods(person, [item])
        count = self.content.basket(person)[item]
        buys = [
            k for k in self.content.about(person, "buys") if (count, item) in self.content.facts[k].basket
        ]
        if not count:
            raise self._missing(MISSING["count"].format(p=person, x=item), facts=buys)
        price = self._price(item)
        self._compute(cost, COST.format(p=person, n=count, x=item), count, "*", price, facts=buys)
        return cost

    def _goods(self, person: str) -> Quantity:
        """A running sum: the first two things together, then the third."""
        items: list[str] = []
        so_far: Quantity = ()
        for item in self.content.basket(person):
            cost = self._cost(person, item)
            items.append(item)
            if so_far:
                words = TOGETHER.format(p=person, g=listing(items))
                self._compute(goods(person, items), words, so_far, "+", cost)
            so_far = goods(person, items)
        return so_far

    def _pays(self, person: str) -> Quantity:
        pays = ("pays", person)
        if self.content.basket(person):
            bought = self._goods(person)
            self._same(pays, bought)
            for k in self.content.about(person, "off"):
                amount = self.content.facts[k].amount
                self._compute(pays, OFF.format(p=person, n=amount), bought, "-", amount, facts=[k])
        for k in self.content.about(person, "pays"):
            self._tell(pays, k, CONTRADICTED["pays"], p=person)
        return pays

    def _change(self, person: str) -> Quantity:
        pays, change = self._pays(person), ("change", person)
        notes = self.content.about(person, "note")
        if not notes:
            raise self._missing(MISSING["note"].format(p=person))
        note = self.content.facts[notes[0]].amount
        self._compute(change, CHANGE.format(p=person, n=note), note, "-", pays, facts=notes)
        return change

    def _difference(self, dear: str, cheap: str) -> Quantity:
        difference = ("difference", dear, cheap)
        words = DIFFERENCE.format(A=one_first(dear), b=one(cheap))
        self._compute(difference, words, self._price(dear), "-", self._price(cheap))
        return difference

    def _tell(self, quantity: Quantity, k: int, contradicted: str, **names: str) -> None:
        """Take a value from fact ``k``; ends the solution if another value is known."""
        told = self.content.facts[k].amount
        value = self.values.setdefault(quantity, told)
        if value != told:
            self._add(contradicted.format(v=value, w=told, **names), [quantity], [k])
            raise NoAnswer(CONTRADICTION)
        self.given.setdefault(quantity, k)

    def _same(self, quantity: Quantity, as_this: Quantity) -> None:
        self.values[quantity] = self.values[as_this]
        self.source[quantity] = self.source[as_this]

    def _missing(self, words: str, facts: Sequence[int] = ()) -> NoAnswer:
        self._add(words, [], facts)
        return NoAnswer(UNKNOWN)

    def _compute(
        self,
        quantity: Quantity,
        words: str,
        left: Quantity | int,
        sign: str,
        right: Quantity | int,
        *,
        facts: Sequence[int] = (),
    ) -> None:
        """A step that works out ``quantity``; numbers among the operands come from ``facts``."""
        a, b = (self.values[side] if isinstance(side, tuple) else side for side in (left, right))
        value = round(ARITHMETIC[sign](a, b))
        used = [side for side in (left, right) if isinstance(side, tuple)]
        self._add(f"{words}: {a} {sign} {b} = {value}.", used, facts)
        self.values[quantity] = value
        self.source[quantity] = len(self.steps) - 1

    def _add(self, text: str, used: Sequence[Quantity], facts: Sequence[int]) -> None:
        told = {*facts, *(self.given[q] for q in used if q in self.given)}
        earlier = {self.source[q] for q in used if q in self.source}
        self.steps.append(SolutionStep(text=text, facts=tuple(sorted(told)), steps=tuple(sorted(earlier))))
