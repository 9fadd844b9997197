"""The problems behind the words: people, relations, what is asked, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random

from training.families.quantities.wording import LARGEST, RELATIONS
from training.families.writing import FRACTIONS, ITEMS, NAMES


@dataclass(frozen=True)
class Fact:
    """One sentence: ``subject`` owns ``amount`` ("is"), or stands in a relation to ``reference``."""

    subject: str
    relation: str
    amount: int
    reference: str = ""


@dataclass(frozen=True)
class Content:
    """The problem behind the words."""

    item: str
    facts: tuple[Fact, ...]
    asks: str
    of: tuple[str, ...]
    flaw: str = ""
    """The person whose amount is missing or told twice; "" if the problem has an answer."""

    @property
    def people(self) -> set[str]:
        """Everybody who is named."""
        return {name for fact in self.facts for name in (fact.subject, fact.reference) if name} | set(self.of)

    def values(self) -> dict[str, int]:
        """The value of everybody whose value follows from the facts."""
        values: dict[str, int] = {}
        pending = list(self.facts)
        while known := [f for f in pending if f.relation == "is" or f.reference in values]:
            fact = known[0]
            pending.remove(fact)
            value = fact.amount
            if fact.relation != "is":
                value = RELATIONS[fact.relation].apply(values[fact.reference], fact.amount)
            values.setdefault(fact.subject, value)
        return values


def answerable(rng: Random, steps: int) -> Content:
    """A chain of relations of which every link is needed for the answer."""
    asks = rng.choice(("amount", "amount", "together", "difference")) if steps > 1 else "amount"
    links = steps if asks == "amount" else steps - 1
    while True:
        people = rng.sample(NAMES, links + 1)
        value = rng.randint(2, 30)
        facts = [Fact(people[0], "is", value)]
        values = [value]
        for before, name in pairwise(people):
            link = link_from(rng, values[-1])
            if link is None:
                break
            relation, amount = link
            facts.append(Fact(name, relation, amount, before))
            values.append(RELATIONS[relation].apply(values[-1], amount))
        else:
            of: tuple[str, ...] = (people[-1],)
            if asks != "amount":
                other = rng.randrange(links)
                of = (people[other], people[-1])
                if asks == "difference":
                    if values[other] == values[-1]:
                        continue
                    of = of if values[other] > values[-1] else of[::-1]
            return Content(item=rng.choice(ITEMS), facts=tuple(facts), asks=asks, of=of)


def link_from(rng: Random, value: int) -> tuple[str, int] | None:
    """A relation that keeps the next value a whole number within 1..LARGEST."""
    relation = rng.choice(tuple(RELATIONS))
    amounts = {
        "more": [n for n in range(2, 21) if value + n <= LARGEST],
        "fewer": [n for n in range(2, 21) if value - n >= 1],
        "times": [n for n in range(2, 7) if value * n <= LARGEST],
        "fraction": [n for n in FRACTIONS if value % n == 0],
    }[relation]
    return (relation, rng.choice(amounts)) if amounts else None


def distractors(rng: Random, content: Content) -> tuple[Fact, ...]:
    """One or two facts about other people that the answer does not need."""
    used = content.people
    others = rng.sample([name for name in NAMES if name not in used], rng.choice((1, 2)))
    values = content.values()
    facts: list[Fact] = []
    for name in others:
        reference = rng.choice(sorted(values)) if values else ""
        link = link_from(rng, values[reference]) if reference else None
        facts.append(Fact(name, "is", rng.randint(2, 30)) if link is None else Fact(name, *link, reference))
    return tuple(facts)


def unanswerable(rng: Random, steps: int) -> Content:
    """A chain of which one fact is missing; all that can be computed takes ``steps`` - 1 steps."""
    gap = rng.choice((0, 1)) if steps == 1 else steps
    whole = answerable(rng, max(gap, 1) + rng.randint(0, 1))
    while len(whole.facts) <= gap:
        whole = answerable(rng, max(gap, 1) + rng.randint(1, 2))
    facts = whole.facts[:gap] + whole.facts[gap + 1 :]
    return Content(whole.item, facts, whole.asks, whole.of, flaw=whole.facts[gap].subject)


def contradictory(rng: Random, steps: int) -> Content:
    """A chain in which one amount is told again, differently; it shows after ``steps`` - 1 steps."""
    clash = steps - 1
    whole = answerable(rng, max(clash, 1) + rng.randint(0, 1))
    while len(whole.facts) <= clash:
        whole = answerable(rng, max(clash, 1) + rng.randint(1, 2))
    subject = whole.facts[clash].subject
    true = whole.values()[subject]
    other = rng.choice([value for value in range(2, LARGEST) if value != true])
    facts = (*whole.facts[: clash + 1], Fact(subject, "is", other), *whole.facts[clash + 1 :])
    return Content(whole.item, facts, whole.asks, whole.of, flaw=subject)
