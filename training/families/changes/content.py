"""What a story tells, sentence by sentence, and which of it the answer needs."""

from __future__ import annotations

from dataclasses import dataclass

from training.families.changes.wording import FACTORS, MISSING, SIDES, UNSAID


@dataclass(frozen=True)
class Fact:
    """One sentence: ``person`` has ``amount`` at first ("start") or by then ("now"), or changes it.

    amount: 0 where the sentence names no number. other: who is given something.
    """

    person: str
    verb: str
    amount: int = 0
    other: str = ""

    @property
    def told(self) -> bool:
        """Whether it tells an amount rather than a change."""
        return self.verb in ("start", "now")

    @property
    def vague(self) -> bool:
        """Whether a number belongs here and is not said."""
        return self.verb in UNSAID and not self.amount

    def unsaid(self, item: str) -> str:
        """The closing step that says that this number is missing."""
        return MISSING.format(x=item, what=UNSAID[self.verb].format(a=self.person, b=self.other))


@dataclass(frozen=True)
class Move:
    """What a fact does to ``person``: by a number, by all that somebody else has, or None: not said."""

    person: str
    sign: str
    words: str
    by: int | str | None


@dataclass(frozen=True)
class Content:
    """The story in the order of time, which is the order of telling."""

    item: str
    facts: tuple[Fact, ...]
    asks: str
    of: tuple[str, ...]

    @property
    def people(self) -> set[str]:
        """Everybody who is named."""
        return {name for fact in self.facts for name in (fact.person, fact.other) if name} | set(self.of)

    def moves(self, fact: Fact) -> tuple[Move, ...]:
        """What the fact does to each of the people it names; nothing if it only tells an amount."""
        by: int | str | None = fact.amount or FACTORS.get(fact.verb)
        if fact.verb == "gives all":
            by = fact.person
        return tuple(
            Move(
                person=fact.person if side.role == "a" else fact.other,
                sign=side.sign,
                words=side.restate.format(a=fact.person, b=fact.other, n=fact.amount, x=self.item),
                by=by,
            )
            for side in SIDES.get(fact.verb, ())
        )

    def needed(self) -> set[tuple[int, str]]:
        """The facts that the answer needs, each with the person for whom it needs it."""
        people = set(self.of)
        needed: set[tuple[int, str]] = set()
        for index, fact in reversed(tuple(enumerate(self.facts))):
            touched = {fact.person} if fact.told else {move.person for move in self.moves(fact)}
            needed |= {(index, person) for person in touched & people}
            if fact.verb == "gives all" and fact.other in people:
                people.add(fact.person)
                needed.add((index, fact.person))
        return needed
