"""Random stories: with an answer, with a gap, with a contradiction, and what happens beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from training.families.changes.content import Content, Fact
from training.families.changes.solve import Solver
from training.families.changes.wording import EDIBLE, FACTORS, GAINS, LARGEST, LOSSES, SMALLEST, UNSAID
from training.families.writing import ARITHMETIC, ITEMS, NAMES
from training.problems import CONTRADICTION, UNKNOWN

FORMS = ("gain", "gain", "loss", "loss", "gives", "gives", "doubles", "triples", "halves")


class Story:
    """A story as it grows, with what everybody has by now."""

    def __init__(self, rng: Random, item: str, people: Sequence[str]) -> None:
        self.rng = rng
        self.item = item
        self.starts = {person: rng.randint(SMALLEST, 30) for person in people}
        self.values = dict(self.starts)
        self.changes: list[Fact] = []

    def happen(self, person: str, other: str) -> Fact:
        """Something happens to ``person``, maybe together with ``other``."""
        while True:
            fact = self._draw(person, other)
            if fact is not None and self.add(fact):
                return fact

    def add(self, fact: Fact) -> bool:
        """Tell this next, unless it is told already or leaves somebody with too few or too many."""
        after = dict(self.values)
        for move in Content(self.item, (), "", ()).moves(fact):
            by = after[move.by] if isinstance(move.by, str) else move.by or 0
            value = ARITHMETIC[move.sign](after[move.person], by)
            if value != int(value) or not SMALLEST <= value <= LARGEST:
                return False
            after[move.person] = int(value)
        if fact in self.changes:
            return False
        self.values = after
        self.changes.append(fact)
        return True

    def _draw(self, person: str, other: str) -> Fact | None:
        form = self.rng.choice(FORMS)
        if form in FACTORS:
            return Fact(person, form)
        amount = self.rng.randint(2, 20)
        if form == "gives":
            giver, taker = self.rng.sample((person, other), 2) if other else ("", "")
            return Fact(giver, form, amount, taker) if other else None
        losses = (*LOSSES, "eats") if self.item in EDIBLE else LOSSES
        return Fact(person, self.rng.choice(GAINS if form == "gain" else losses), amount)


def answerable(rng: Random, steps: int, *, mixed: bool) -> Content:
    """A story about one or two people of which every change to them is needed for the answer.

    mixed: what people have at first is told anywhere before it changes, not only in the beginning,
    and also for somebody for whom it does not matter.
    """
    while True:
        plan = rng.choice(
            ("amount", "amount", "together", "all") if steps > 1 else ("amount", "amount", "all")
        )
        hero, second, partner = rng.sample(NAMES, 3)
        story = Story(rng, rng.choice(ITEMS), (hero, second, partner))
        whom = (hero,) if plan == "amount" else (hero, second)
        asks = "together" if plan == "together" else "amount"
        left = steps - (asks == "together")
        while left > 0:
            if plan == "all" and len(whom) == 2 and rng.random() * left < 1:
                if not story.add(Fact(second, "gives all", other=hero)):
                    break
                whom = (hero,)
                left -= 1
                continue
            person = rng.choice(whom)
            # A change between two people who both matter takes two steps.
            other = partner
            if len(whom) == 2 and left > (2 if plan == "all" else 1) and rng.random() < 0.5:
                other = whom[person == hero]
            fact = story.happen(person, other)
            left -= 2 if {fact.person, fact.other} == set(whom) else 1
        if left == 0:
            of = whom if asks == "together" else (hero,)
            required = {hero} if plan == "amount" else {hero, second}
            return Content(story.item, _told(story, required, mixed=mixed), asks, of)


def _told(story: Story, needed: set[str], *, mixed: bool) -> tuple[Fact, ...]:
    """The changes with what people have at first before them."""
    facts = list(story.changes)
    named = {name for fact in facts for name in (fact.person, fact.other)}
    order = [person for person in story.starts if person in needed or (mixed and person in named)]
    for person in reversed(order):
        first = next((k for k, fact in enumerate(facts) if person in (fact.person, fact.other)), len(facts))
        place = story.rng.randint(0, first) if mixed and story.rng.random() < 0.5 else 0
        facts.insert(place, Fact(person, "start", story.starts[person]))
    return tuple(facts)


def unanswerable(rng: Random, steps: int, *, mixed: bool) -> Content:
    """A story with a number left out; it shows after ``steps`` - 1 steps."""
    while True:
        whole = answerable(rng, steps + rng.randint(0, 2), mixed=mixed)
        for index in rng.sample(range(len(whole.facts)), len(whole.facts)):
            fact = whole.facts[index]
            if fact.verb not in UNSAID:
                continue
            vague = () if fact.verb == "start" else (replace(fact, amount=0),)
            facts = (*whole.facts[:index], *vague, *whole.facts[index + 1 :])
            if _shows(content := replace(whole, facts=facts), UNKNOWN, steps):
                return content


def contradictory(rng: Random, steps: int, *, mixed: bool) -> Content:
    """A story in which an amount is told that cannot be; it shows after ``steps`` - 1 steps."""
    while True:
        whole = answerable(rng, max(steps - 1, 1) + rng.randint(0, 2), mixed=mixed)
        for index in rng.sample(range(len(whole.facts)), len(whole.facts)):
            fact = whole.facts[index]
            people = [fact.person] if fact.told else [move.person for move in whole.moves(fact)]
            false = Fact(rng.choice(people), "start" if fact.told else "now", rng.randint(SMALLEST, 40))
            facts = (*whole.facts[: index + 1], false, *whole.facts[index + 1 :])
            if _shows(content := replace(whole, facts=facts), CONTRADICTION, steps):
                return content


def _shows(content: Content, answer: str, steps: int) -> bool:
    """Whether the exact solution comes to this answer in so many steps."""
    solution, found = Solver(content).solve()
    return found == answer and len(solution) == steps


def beside(rng: Random, content: Content) -> Content:
    """The same story with one or two other people's, told in between.

    They too are vague now and then, or their amount is told again, so that such words alone mean nothing.
    """
    others = rng.sample([name for name in NAMES if name not in content.people], rng.choice((1, 2)))
    facts = content.facts
    for name in others:
        story = Story(rng, content.item, (name,))
        more = [Fact(name, "start", story.starts[name])]
        if rng.random() < 0.6:
            change = story.happen(name, "")
            more.append(change)
            if change.amount and rng.random() < 0.3:
                more[-1] = replace(change, amount=0)
            elif rng.random() < 0.4:
                more.append(Fact(name, "now", story.values[name]))
        facts = _between(rng, facts, more)
    return replace(content, facts=facts)


def _between(rng: Random, one: Sequence[Fact], two: Sequence[Fact]) -> tuple[Fact, ...]:
    """Both, each in its own order."""
    places = set(rng.sample(range(len(one) + len(two)), len(two)))
    first, second = iter(one), iter(two)
    return tuple(next(second if k in places else first) for k in range(len(one) + len(two)))
