"""Random ``prices`` problems with an answer, of which every fact is needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from training.families.prices.content import Content, Fact
from training.families.prices.wording import RELATIONS, WARES
from training.families.writing import FRACTIONS, NAMES

NOTES = (10, 20, 50, 100, 200)
CHEAPEST, DEAREST = 2, 30  # no price of 1, which would be "1 dollars"
LARGEST_COST, LARGEST_SUM = 99, 199
RELATED = 4  # the longest chain of prices told by relations


@dataclass(frozen=True)
class Plan:
    """What makes the number of steps: things bought, prices told by relations, a discount (0 or 1)."""

    asks: str
    bought: int
    related: int
    off: int = 0

    @property
    def steps(self) -> int:
        """How many steps the solution has."""
        if not self.bought:
            return self.related + (self.asks != "price")
        return self.related + 2 * self.bought - 1 + self.off + (self.asks == "change")


PLANS = (
    *(Plan("price", 0, related) for related in range(1, RELATED + 1)),
    *(Plan("difference", 0, related) for related in range(RELATED + 1)),
    *(Plan("cost", 1, related) for related in range(RELATED + 1)),
    *(
        Plan(asks, bought, related, off)
        for asks in ("pay", "change")
        for bought in (1, 2, 3)
        for related in range(RELATED + 1)
        for off in (0, 1)
    ),
    Plan("change", 0, 0),
)


@cache
def plans_by_question(steps: int) -> dict[str, list[Plan]]:
    """The plans of this many steps, by what is asked."""
    fitting = [plan for plan in PLANS if plan.steps == steps]
    return {plan.asks: [p for p in fitting if p.asks == plan.asks] for plan in fitting}


def whole(rng: Random, steps: int) -> Content | None:
    """A problem with an answer of which every fact is needed; None where the numbers do not fit."""
    plans = plans_by_question(steps)
    plan = rng.choice(plans[rng.choice(sorted(plans))])
    person = rng.choice(NAMES)
    if plan.asks in ("price", "difference"):
        return price_question(rng, plan)
    if not plan.bought:
        total = rng.randint(5, LARGEST_COST)
        note = rng.choice([note for note in NOTES if note > total])
        return Content((Fact("pays", person, total), Fact("note", person, note)), "change", (person,))
    return purchase(rng, plan, person)


def price_question(rng: Random, plan: Plan) -> Content | None:
    """What something costs, or how much more than another thing."""
    chain = rng.sample(WARES, plan.related + 2)
    other = chain.pop()
    facts = related_prices(rng, chain)
    if facts is None:
        return None
    if plan.asks == "price":
        return Content(tuple(facts), "price", (chain[-1],))
    # The difference from the thing just before would often be told.
    other = rng.choice([other, *chain[:-2]])
    if other not in chain:
        facts.append(any_price(rng, other))
    prices = Content(tuple(facts), "", ()).prices()
    cheap, dear = sorted((other, chain[-1]), key=prices.__getitem__)
    return Content(tuple(facts), "difference", (dear, cheap)) if prices[cheap] < prices[dear] else None


def purchase(rng: Random, plan: Plan, person: str) -> Content | None:
    """What somebody buys; every price that is told is needed for it."""
    apart = rng.randint(max(0, plan.bought - 1 - plan.related), plan.bought - 1)
    items = rng.sample(WARES, plan.related + 1 + apart)
    chain, others = items[: plan.related + 1], items[plan.related + 1 :]
    bought = {chain[-1], *others, *rng.sample(chain[:-1], plan.bought - 1 - apart)}
    facts = related_prices(rng, chain, branching=bought.issuperset(chain))
    if facts is None:
        return None
    facts += [any_price(rng, item) for item in others]
    prices = Content(tuple(facts), "", ()).prices()
    basket = tuple((rng.randint(2, 9), item) for item in items if item in bought)
    costs = [count * prices[item] for count, item in basket]
    if max(costs) > LARGEST_COST or sum(costs) > LARGEST_SUM:
        return None
    baskets = [(one,) for one in basket] if rng.random() < 0.4 else [basket]
    facts += [Fact("buys", person, basket=part) for part in baskets]
    total = sum(costs)
    if plan.off:
        off = rng.randint(2, min(20, total - 2))
        facts.append(Fact("off", person, off))
        total -= off
    if plan.asks == "change" or (plan.asks == "pay" and rng.random() < 0.2):
        facts.append(Fact("note", person, rng.choice([note for note in NOTES if note > total])))
    of = (person, basket[0][1]) if plan.asks == "cost" else (person,)
    return Content(tuple(facts), plan.asks, of)


def related_prices(rng: Random, items: list[str], *, branching: bool = False) -> list[Fact] | None:
    """The first price told, each other by its relation to the one before, or to any before."""
    facts = [any_price(rng, items[0])]
    prices = {items[0]: facts[0].amount}
    for index in range(1, len(items)):
        reference = rng.choice(items[:index]) if branching else items[index - 1]
        fact = relation(rng, items[index], reference, prices[reference])
        if fact is None:
            return None
        facts.append(fact)
        prices[items[index]] = RELATIONS[fact.kind].apply(prices[reference], fact.amount)
    return facts


def any_price(rng: Random, item: str) -> Fact:
    """A price that is simply told."""
    return Fact("costs", item, rng.randint(CHEAPEST, 20))


def relation(rng: Random, item: str, reference: str, price: int) -> Fact | None:
    """A relation to a thing of this price that keeps the item's within CHEAPEST..DEAREST."""
    kind = rng.choice(tuple(RELATIONS))
    amounts = {"more": range(2, 16), "less": range(2, 16), "times": range(2, 5), "fraction": FRACTIONS}[kind]
    fitting = [
        n
        for n in amounts
        if CHEAPEST <= RELATIONS[kind].apply(price, n) <= DEAREST and (kind != "fraction" or price % n == 0)
    ]
    return Fact(kind, item, rng.choice(fitting), reference) if fitting else None
