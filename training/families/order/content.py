"""The problems behind the words: who stands above whom, what is asked, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from random import Random

from training.families.order.wording import DIMENSIONS, STATEMENT, Dimension
from training.families.writing import NAMES
from training.problems import Kind

Pair = tuple[str, str]
"""Two people, the one with more of it first."""

OPEN = ("first", "second")
"""Questions about everybody: they name nobody, and leave no room for people who do not matter."""

PAIRED = ("compare", "which")
ASKS = (*PAIRED, "compare", *OPEN, "group", "middle")


@dataclass(frozen=True)
class Fact:
    """One sentence: ``subject`` is taller (``more``) or shorter than ``reference``."""

    subject: str
    more: bool
    reference: str

    @property
    def pair(self) -> Pair:
        return (self.subject, self.reference) if self.more else (self.reference, self.subject)

    def statement(self, dimension: Dimension) -> str:
        """The fact as a step restates it."""
        return STATEMENT.format(x=self.subject, w=dimension.word(more=self.more).than, y=self.reference)


@dataclass(frozen=True)
class Place:
    """The place number ``rank``, 0 for the most, among some people."""

    among: frozenset[str]
    rank: int

    def holder(self, above: Set[Pair]) -> str | None:
        """Who holds the place, if these comparisons decide it."""
        below = len(self.among) - 1 - self.rank
        found = [
            one
            for one in self.among
            if sum((other, one) in above for other in self.among) == self.rank
            and sum((one, other) in above for other in self.among) == below
        ]
        return found[0] if len(found) == 1 else None


def place(asks: str, among: Iterable[str], *, more: bool) -> Place:
    """The place a question asks for. Of two people it is always the one with more that decides."""
    people = frozenset(among)
    rank = 1 if asks in ("second", "middle") else 0
    return Place(people, rank if more or asks in PAIRED else len(people) - 1 - rank)


@dataclass(frozen=True)
class Content:
    """The problem behind the words.

    facts: in the order told. needed: those that are no distractors, in the same order.
    of: who the question names, in its order. more: whether it says "taller" or "shorter".
    """

    dimension: Dimension
    facts: tuple[Fact, ...]
    needed: tuple[Fact, ...]
    asks: str
    of: tuple[str, ...]
    more: bool

    @property
    def people(self) -> frozenset[str]:
        """Everybody who is named."""
        return frozenset(self.of) | {name for fact in self.facts for name in fact.pair}

    @property
    def place(self) -> Place:
        """The place that is asked for."""
        return place(self.asks, self.of or self.people, more=self.more)

    def answer(self, holder: str) -> str:
        """The answer if this is who holds the place."""
        if self.asks == "compare":
            return "yes" if (holder == self.of[0]) == self.more else "no"
        if self.asks == "which" and not self.more:
            return self.of[1 - self.of.index(holder)]
        return holder


def ordered(people: Sequence[str]) -> frozenset[Pair]:
    """Everybody above everybody who comes later."""
    return frozenset(combinations(people, 2))


def closure(above: Iterable[Pair]) -> set[Pair]:
    """All comparisons that follow."""
    known = set(above)
    while new := {(a, d) for a, b in known for c, d in known if b == c} - known:
        known |= new
    return known


def draft(rng: Random, *, steps: int, kind: Kind, plain: bool) -> Content:
    """People in a row and what is told about them; nearly always it takes ``steps`` steps.

    The row has no link behind person number ``walked``; without a gap that is the last person.
    plain: each fact connects to those before it, and nobody is told about who does not matter.
    """
    asks = rng.choice(ASKS if steps > 1 or kind == "unanswerable" else PAIRED)
    walked = links = steps
    if kind == "unanswerable":
        if steps == 1 and asks not in OPEN:
            walked = rng.choice((0, 1))
        links = walked + 1 + rng.randint(0 if walked and asks not in OPEN else 1, 2)
    elif kind == "contradictory":
        walked = links = steps + rng.choice((0, 0, 1))
    row = rng.sample(NAMES, links + 1)
    down = rng.random() < 0.5  # whether the row starts with the most

    def tell(one: str, other: str) -> Fact:
        """``one`` stands before ``other`` in the row."""
        return Fact(one, down, other) if rng.random() < 0.5 else Fact(other, not down, one)

    of = _asked(rng, asks, row, walked)
    start = row.index(of[0]) if of else rng.randint(0, walked)
    reached = [*_outwards(rng, start, walked), *((k, k + 1) for k in range(walked + 1, links))]
    facts = [tell(row[one], row[other]) for one, other in reached]
    if kind == "contradictory":
        after, before = steps, rng.randrange(steps)
        # Told once both have been mentioned.
        earliest = 1 + max(next(k for k, pair in enumerate(reached) if i in pair) for i in (after, before))
        facts.insert(rng.randint(earliest, len(facts)), tell(row[after], row[before]))
    told = list(facts)
    if not plain:
        if asks not in OPEN:
            # Where a link is missing, nobody else hangs on the people that the solution walks along.
            hooks = row[walked + 1 :] if kind == "unanswerable" else row
            for distractor in _distractors(rng, hooks, [name for name in NAMES if name not in row]):
                told.insert(rng.randint(0, len(told)), distractor)
        if rng.random() < 0.5:
            rng.shuffle(told)
    needed = tuple(fact for fact in told if fact in facts)
    return Content(rng.choice(DIMENSIONS), tuple(told), needed, asks, of, more=rng.random() < 0.5)


def _asked(rng: Random, asks: str, row: Sequence[str], walked: int) -> tuple[str, ...]:
    """Whom the question names; the first of them is one that the solution can start from."""
    if asks in OPEN:
        return ()
    if asks in PAIRED:
        return (row[0], row[-1])
    places = [0, rng.randint(1, len(row) - 2), len(row) - 1]
    rng.shuffle(places)
    while places[0] > walked:
        rng.shuffle(places)
    return tuple(row[k] for k in places)


def _outwards(rng: Random, start: int, last: int) -> list[tuple[int, int]]:
    """The links between 0 and ``last`` in an order that grows from ``start`` to both sides."""
    low = high = start
    links = []
    while low > 0 or high < last:
        if high < last and (low == 0 or rng.random() < 0.5):
            links.append((high, high + 1))
            high += 1
        else:
            links.append((low - 1, low))
            low -= 1
    return links


def _distractors(rng: Random, hooks: Sequence[str], others: Sequence[str]) -> list[Fact]:
    """One or two facts that lead nowhere: somebody else beside one of the row, or two strangers."""
    strangers = rng.sample(others, 4)
    facts = []
    for _ in range(rng.choice((1, 2))):
        reference = rng.choice(hooks) if hooks and rng.random() < 0.7 else strangers.pop()
        people = [strangers.pop(), reference]
        rng.shuffle(people)
        facts.append(Fact(people[0], rng.random() < 0.5, people[1]))
    return facts
