"""``prices``: what things cost, what somebody pays for them, and the change.

    A pen costs 3 dollars. Tom buys 4 pens. Tom pays with a 20 dollar note. How much change does Tom get?

    Step 1: Tom's 4 pens cost: 4 * 3 = 12.
    Step 2: Tom's change from 20: 20 - 12 = 8.
    Answer: 8

Prices may be told by relations ("A cup costs twice as much as a pen"), and a discount may be taken off.
"""

from __future__ import annotations

from random import Random

from training.families.prices.content import Content, Fact
from training.families.prices.judge import Judge
from training.families.prices.solve import Solver
from training.families.prices.vary import arranged, draw
from training.families.prices.wording import WORDINGS, listing, one, one_first
from training.families.writing import FRACTIONS, times_in_words, wording
from training.problems import CONTRADICTION, UNKNOWN, Family, Kind, Level, Problem

LONGEST = 7
NO_ANSWER = {"unanswerable": UNKNOWN, "contradictory": CONTRADICTION}


class Prices(Family):
    """See the module."""

    name = "prices"

    def problem(
        self,
        rng: Random,
        *,
        level: Level,
        steps: int,
        kind: Kind = "answerable",
        unseen_wording: bool = False,
    ) -> Problem:
        """A problem with ``steps`` steps, in story order unless ``level`` says otherwise.

        Raises ValueError unless ``steps`` is within 1..LONGEST.
        """
        if not 1 <= steps <= LONGEST:
            raise ValueError(f"prices has problems of 1 to {LONGEST} steps, not of {steps}.")
        while True:
            content = draw(rng, kind, steps)
            if content is None or not _ends(content, kind, steps):
                continue
            if level != "easy":
                content = arranged(rng, content)
            # Where a fact is missing or told twice, the order decides which step comes upon it.
            if _ends(content, kind, steps):
                return write(rng, content, level=level, kind=kind, unseen_wording=unseen_wording)

    def reader(self, problem: Problem) -> Judge:
        """A judge that has read nothing yet."""
        assert isinstance(problem.content, Content)
        return Judge(problem.content, problem.answer)


def _ends(content: Content, kind: Kind, steps: int) -> bool:
    """Whether the solution has this many steps and ends as a problem of its kind does."""
    solution, answer = Solver(content).solve()
    outcome = answer if answer in NO_ANSWER.values() else ""
    return len(solution) == steps and outcome == NO_ANSWER.get(kind, "")


def write(rng: Random, content: Content, *, level: Level, kind: Kind, unseen_wording: bool) -> Problem:
    """Put the problem into words, with its solution."""

    def put(name: str, **words: object) -> str:
        return wording(WORDINGS, name, rng, unseen=unseen_wording).format(**words)

    sentences = tuple(put(fact.kind, **_words(rng, fact)) for fact in content.facts)
    asked = _asked(content)
    steps, answer = Solver(content).solve()
    return Problem(
        family=Prices.name,
        level=level,
        kind=kind,
        key=repr([(fact.subject, fact.amount, fact.basket) for fact in content.facts]),
        question=" ".join((*sentences, put(f"ask {content.asks}", **asked))),
        facts=sentences,
        steps=steps,
        answer=answer,
        content=content,
    )


def _words(rng: Random, fact: Fact) -> dict[str, object]:
    """What a fact's wordings name."""
    if fact.kind in ("buys", "off", "pays", "note"):
        things = [f"{count or 'some'} {item}" for count, item in fact.basket]
        return {"p": fact.subject, "n": fact.amount, "g": listing(things) if things else ""}
    words = {"A": one_first(fact.subject), "a": one(fact.subject), "x": fact.subject, "n": fact.amount}
    if not fact.reference:
        return words
    factor = times_in_words(rng, fact.amount) if fact.kind == "times" else ""
    return words | {"b": one(fact.reference), "k": factor, "f": FRACTIONS.get(fact.amount, "")}


def _asked(content: Content) -> dict[str, object]:
    """What the question's wordings name."""
    if content.asks in ("price", "difference"):
        return {key: one(item) for key, item in zip("ab", content.of, strict=False)}
    return dict(zip("px", content.of, strict=False))
