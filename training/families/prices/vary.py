"""What makes a ``prices`` problem harder: a fact left out or told differently, facts nobody needs."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from training.families.prices.content import Content, Fact
from training.families.prices.draw import (
    CHEAPEST,
    DEAREST,
    LARGEST_COST,
    LARGEST_SUM,
    NOTES,
    any_price,
    relation,
    whole,
)
from training.families.prices.solve import Solver
from training.families.prices.wording import RELATIONS, WARES
from training.families.writing import NAMES
from training.problems import Kind


def draw(rng: Random, kind: Kind, steps: int) -> Content | None:
    """A problem of about ``steps`` steps, exactly so if answerable; None where the draw does not fit."""
    if kind == "answerable":
        return whole(rng, steps)
    content = whole(rng, max(1, steps + rng.randint(-1, 3)))
    if content is None:
        return None
    return without_a_fact(rng, content) if kind == "unanswerable" else contradicted(rng, content)


def without_a_fact(rng: Random, content: Content) -> Content | None:
    """The problem with a price, a count or the note not told."""
    k = rng.randrange(len(content.facts))
    fact, before, after = content.facts[k], content.facts[:k], content.facts[k + 1 :]
    if fact.kind in ("off", "pays"):
        return None  # nobody could miss them
    if fact.kind == "buys":
        some = rng.randrange(len(fact.basket))
        basket = tuple((0 if i == some else count, item) for i, (count, item) in enumerate(fact.basket))
        return replace(content, facts=(*before, replace(fact, basket=basket), *after))
    return replace(content, facts=before + after)


def contradicted(rng: Random, content: Content) -> Content | None:
    """The problem with a price told again, differently, or the sum told and wrong."""
    prices = content.prices()
    if content.asks in ("pay", "change") and (not prices or rng.random() < 0.5):
        if content.about(content.of[0], "pays"):
            return None  # "pays 12 dollars" twice may be two payments
        total = int(Solver(replace(content, asks="pay")).solve()[1])
        # Nor is the sum before the discount told: somebody may have meant it.
        right = {total, total + sum(fact.amount for fact in content.facts if fact.kind == "off")}
        near = range(max(CHEAPEST, total - 20), min(LARGEST_SUM, total + 20) + 1)
        wrong = rng.choice([n for n in near if n not in right])
        return replace(content, facts=(*content.facts, Fact("pays", content.of[0], wrong)))
    if not prices:
        return None
    item = rng.choice(sorted(prices))
    wrong = rng.choice([n for n in range(CHEAPEST, DEAREST + 1) if n != prices[item]])
    place = 1 + max(content.about(item, "costs", *RELATIONS))
    return replace(
        content, facts=(*content.facts[:place], Fact("costs", item, wrong), *content.facts[place:])
    )


def arranged(rng: Random, content: Content) -> Content:
    """The problem with one or two facts that the answer does not need, told in any order half of the time."""
    told = list(content.facts)
    for fact in distractors(rng, content):
        told.insert(rng.randint(1, len(told)), fact)
    if rng.random() < 0.5:
        rng.shuffle(told)
    return replace(content, facts=tuple(told))


def distractors(rng: Random, content: Content) -> list[Fact]:
    """Facts about other things and other people, or about something that was not asked for."""
    others = rng.sample([name for name in NAMES if name not in content.people], rng.choice((1, 2)))
    facts: list[Fact] = []
    for person in others:
        so_far = replace(content, facts=(*content.facts, *facts))
        item = rng.choice([item for item in WARES if item not in so_far.items])
        match rng.choice(("price", "price", "buys", "pays", "note", "off")):
            case "price":
                facts.append(other_price(rng, so_far, item))
            case "buys":
                # Who is asked about one thing alone may buy more.
                buyer = content.of[0] if content.asks == "cost" else person
                facts.append(Fact("buys", buyer, basket=other_basket(rng, so_far, item, buyer)))
            case "note":
                facts.append(Fact("note", person, rng.choice(NOTES)))
            case kind:
                facts.append(Fact(kind, person, rng.randint(2, 20 if kind == "off" else LARGEST_COST)))
    return facts


def other_price(rng: Random, content: Content, item: str) -> Fact:
    """The price of a thing that nobody needs."""
    prices = content.prices()
    reference = rng.choice(sorted(prices)) if prices else ""
    fact = relation(rng, item, reference, prices[reference]) if reference else None
    return fact or any_price(rng, item)


def other_basket(rng: Random, content: Content, item: str, buyer: str) -> tuple[tuple[int, str], ...]:
    """One or two things that do not matter, not always with a count."""
    choices = [item, *sorted(content.items - content.basket(buyer).keys())]
    chosen = rng.sample(choices, min(len(choices), rng.choice((1, 2))))
    return tuple((rng.choice((0, *range(2, 10))), one) for one in chosen)
