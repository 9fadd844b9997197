"""What each sentence of a question says, in the fewest words: who or what it is about, then the rest.

Said in another order than told, each of them has to be looked up by whom it is about. That is what a step does
first, and what a small model learns last when steps alone teach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch

from training.families.changes.content import Content as Story
from training.families.order.content import Content as Order
from training.families.prices.content import Content as Shop
from training.families.prices.content import Fact as ShopFact
from training.families.prices.wording import RELATIONS as PRICE_RELATIONS
from training.families.quantities.content import Content as Belongings
from training.families.quantities.wording import RELATIONS
from training.problems import Problem


def gists(problem: Problem) -> tuple[str, ...]:
    """The gist of every sentence that has one, in the order told."""
    return tuple(f"{gist}." for gist in _gists(problem.content) if gist)


@singledispatch
def _gists(content: object) -> list[str]:
    raise TypeError(f"no gists of {type(content).__name__}")


@_gists.register
def _(content: Belongings) -> list[str]:
    return [
        f"{fact.subject}: {fact.amount}"
        if fact.relation == "is"
        else RELATIONS[fact.relation].statement(fact.subject, fact.amount, fact.reference, content.item)
        for fact in content.facts
    ]


@_gists.register
def _(content: Story) -> list[str]:
    said: list[str] = []
    for fact in content.facts:
        if fact.told:
            said.append(f"{fact.person}: {fact.amount}")
        elif not fact.vague:
            said += [move.words for move in content.moves(fact)]
    return said


@_gists.register
def _(content: Shop) -> list[str]:
    return [_price_gist(fact) for fact in content.facts]


_PERSONAL: Mapping[str, Callable[[int], str]] = {
    "off": lambda n: f"{n} off",
    "pays": lambda n: f"{n} in all",
    "note": lambda n: f"a note of {n}",
}


def _price_gist(fact: ShopFact) -> str:
    if fact.kind == "costs":
        return f"{fact.subject}: {fact.amount}"
    if fact.kind in PRICE_RELATIONS:
        return PRICE_RELATIONS[fact.kind].statement(fact.subject, fact.amount, fact.reference)
    if fact.kind == "buys":
        basket = ", ".join(f"{count} {item}" for count, item in fact.basket if count)
        return f"{fact.subject}: {basket}" if basket else ""
    return f"{fact.subject}: {_PERSONAL[fact.kind](fact.amount)}"


@_gists.register
def _(content: Order) -> list[str]:
    return [fact.statement(content.dimension) for fact in content.facts]
