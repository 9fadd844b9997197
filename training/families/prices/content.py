"""The problems behind the words: prices, purchases, what is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from training.families.prices.wording import RELATIONS

# What can be said or computed: ("price", item), ("count", person, item), ("goods", person, *items),
# ("pays", person), ("note", person), ("change", person), ("difference", item, item).
Quantity = tuple[str, ...]


def goods(person: str, items: Iterable[str]) -> Quantity:
    """What these items cost a person, in whatever order they are named."""
    return ("goods", person, *sorted(items))


@dataclass(frozen=True)
class Fact:
    """One sentence.

    "costs" and the relations speak of an item (``subject``), the relations of ``reference`` too;
    "buys", "off", "pays" and "note" speak of a person. basket: counts and items; 0 is "some".
    """

    kind: str
    subject: str
    amount: int = 0
    reference: str = ""
    basket: tuple[tuple[int, str], ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """The items named."""
        if self.kind == "costs" or self.kind in RELATIONS:
            return tuple(name for name in (self.subject, self.reference) if name)
        return tuple(item for _, item in self.basket)


@dataclass(frozen=True)
class Content:
    """The problem behind the words, its facts in the order in which they are told.

    of: the item ("price"), the dearer and the cheaper one ("difference"), the person and the item
    ("cost"), or the person ("pay", "change").
    """

    facts: tuple[Fact, ...]
    asks: str
    of: tuple[str, ...]

    def about(self, subject: str, *kinds: str) -> list[int]:
        """The indices of the facts of these kinds about somebody or something."""
        return [k for k, fact in enumerate(self.facts) if fact.subject == subject and fact.kind in kinds]

    def basket(self, person: str) -> dict[str, int]:
        """What a person buys; a count of 0 is not said."""
        bought = [self.facts[k].basket for k in self.about(person, "buys")]
        return {item: count for basket in bought for count, item in basket}

    @property
    def items(self) -> set[str]:
        """All things that are named."""
        asked = {"price": self.of, "difference": self.of, "cost": self.of[1:]}.get(self.asks, ())
        return {item for fact in self.facts for item in fact.items} | set(asked)

    @property
    def people(self) -> set[str]:
        """Everybody who is named."""
        told = {f.subject for f in self.facts if f.kind in ("buys", "off", "pays", "note")}
        return told if self.asks in ("price", "difference") else told | {self.of[0]}

    def prices(self) -> dict[str, int]:
        """Every price that follows from the facts."""
        prices: dict[str, int] = {}
        pending = [fact for fact in self.facts if fact.kind == "costs" or fact.kind in RELATIONS]
        while known := [f for f in pending if f.kind == "costs" or f.reference in prices]:
            fact = known[0]
            pending.remove(fact)
            price = fact.amount
            if fact.kind != "costs":
                price = RELATIONS[fact.kind].apply(prices[fact.reference], fact.amount)
            prices.setdefault(fact.subject, price)
        return prices

    def unsaid(self) -> set[Quantity]:
        """Prices, counts and notes of what is named that do not follow from the facts."""
        prices = self.prices()
        unsaid: set[Quantity] = {("price", item) for item in self.items if item not in prices}
        for person in self.people:
            unsaid |= {("count", person, item) for item, count in self.basket(person).items() if not count}
            if not self.about(person, "note"):
                unsaid.add(("note", person))
        return unsaid

    def needed(self) -> set[Quantity]:
        """The prices, counts and notes that the answer depends on."""
        needed: set[Quantity] = set()
        items = list(self.of)
        if self.asks in ("cost", "pay", "change"):
            person = self.of[0]
            items = [self.of[1]] if self.asks == "cost" else list(self.basket(person))
            needed = {("count", person, item) for item in items}
            if self.asks == "change":
                needed.add(("note", person))
        while items:
            item = items.pop()
            needed.add(("price", item))
            items += [self.facts[k].reference for k in self.about(item, *RELATIONS)]
        return needed
