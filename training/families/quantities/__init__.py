"""``quantities``: who owns how many, told by relations between people.

    Jane has 2 apples. Hugo has four times as many apples as Jane. How many apples does Hugo have?

    Step 1: Hugo has 4 times as many apples as Jane: 2 * 4 = 8.
    Answer: 8

Every step restates the relation it uses, which gives the inverse direction more to hold on to.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from training.families.quantities.content import (
    Content,
    Fact,
    answerable,
    contradictory,
    distractors,
    unanswerable,
)
from training.families.quantities.judge import Judge
from training.families.quantities.solve import Solver
from training.families.quantities.wording import WORDINGS
from training.families.writing import FRACTIONS, times_in_words, wording
from training.problems import Family, Kind, Level, Problem

CONTENTS = {"answerable": answerable, "unanswerable": unanswerable, "contradictory": contradictory}


class Quantities(Family):
    """See the module."""

    name = "quantities"

    def problem(
        self,
        rng: Random,
        *,
        level: Level,
        steps: int,
        kind: Kind = "answerable",
        unseen_wording: bool = False,
    ) -> Problem:
        """A problem with ``steps`` steps, in story order unless ``level`` says otherwise."""
        content = CONTENTS[kind](rng, steps)
        told = list(content.facts)
        for distractor in distractors(rng, content) if level != "easy" else ():
            told.insert(rng.randint(1, len(told)), distractor)
        if level != "easy" and rng.random() < 0.5:
            rng.shuffle(told)
        return write(rng, content, told, level=level, kind=kind, unseen_wording=unseen_wording)

    def reader(self, problem: Problem) -> Judge:
        """A judge that has read nothing yet."""
        assert isinstance(problem.content, Content)
        return Judge(problem.content, problem.answer)


def write(
    rng: Random, content: Content, told: Sequence[Fact], *, level: Level, kind: Kind, unseen_wording: bool
) -> Problem:
    """Put the problem into words, with its solution."""

    def pick(name: str) -> str:
        return wording(WORDINGS, name, rng, unseen=unseen_wording)

    def sentence(fact: Fact) -> str:
        return pick(fact.relation).format(
            a=fact.subject,
            b=fact.reference,
            n=fact.amount,
            k=times_in_words(rng, fact.amount),
            f=FRACTIONS.get(fact.amount, ""),
            x=content.item,
        )

    sentences = tuple(sentence(fact) for fact in told)
    asked = dict(zip("ab", content.of, strict=False))
    ask = pick(f"ask {content.asks}").format(x=content.item, **asked)
    steps, answer = Solver(content, told).solve()
    return Problem(
        family=Quantities.name,
        level=level,
        kind=kind,
        key=repr([(fact.subject, fact.amount) for fact in told]),
        question=" ".join((*sentences, ask)),
        facts=sentences,
        steps=steps,
        answer=answer,
        content=Content(content.item, tuple(told), content.asks, content.of, content.flaw),
    )
