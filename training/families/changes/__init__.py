"""``changes``: how what people have grows and shrinks over time.

    Anna has 4 eggs. Anna buys 3 more eggs. Then Anna gives 2 of the eggs to Tom. How many eggs does Anna have now?

    Step 1: Anna buys 3 more eggs: 4 + 3 = 7.
    Step 2: Anna gives 2 eggs to Tom: 7 - 2 = 5.
    Answer: 5

The order of telling is the order of time. What is given from one person to another is two steps if
both people matter.
"""

from __future__ import annotations

from random import Random

from training.families.changes.content import Content, Fact
from training.families.changes.judge import Judge
from training.families.changes.solve import Solver
from training.families.changes.story import answerable, beside, contradictory, unanswerable
from training.families.changes.wording import WORDINGS
from training.families.writing import wording
from training.problems import Family, Kind, Level, Problem

CONTENTS = {"answerable": answerable, "unanswerable": unanswerable, "contradictory": contradictory}


class Changes(Family):
    """See the module."""

    name = "changes"

    def problem(
        self,
        rng: Random,
        *,
        level: Level,
        steps: int,
        kind: Kind = "answerable",
        unseen_wording: bool = False,
    ) -> Problem:
        """A problem with ``steps`` steps; but for ``easy``, other people's stories are told in between.

        Raises ValueError where ``steps`` is less than 1.
        """
        if steps < 1:
            raise ValueError(f"a problem has at least 1 step, not {steps}")
        mixed = level != "easy"
        content = CONTENTS[kind](rng, steps, mixed=mixed)
        if mixed:
            content = beside(rng, content)
        return write(rng, content, level=level, kind=kind, unseen_wording=unseen_wording)

    def reader(self, problem: Problem) -> Judge:
        """A judge that has read nothing yet."""
        assert isinstance(problem.content, Content)
        return Judge(problem.content, problem.answer)


def write(rng: Random, content: Content, *, level: Level, kind: Kind, unseen_wording: bool) -> Problem:
    """Put the story into words, with its solution."""

    def pick(name: str) -> str:
        return wording(WORDINGS, name, rng, unseen=unseen_wording)

    def sentence(fact: Fact) -> str:
        amount = pick("vague") if fact.vague else str(fact.amount)
        return pick(fact.verb).format(a=fact.person, b=fact.other, n=amount, x=content.item)

    sentences = tuple(sentence(fact) for fact in content.facts)
    ask = pick(f"ask {content.asks}").format(x=content.item, **dict(zip("ab", content.of, strict=False)))
    steps, answer = Solver(content).solve()
    return Problem(
        family=Changes.name,
        level=level,
        kind=kind,
        key=repr([(fact.person, fact.amount, fact.other) for fact in content.facts]),
        question=" ".join((*sentences, ask)),
        facts=sentences,
        steps=steps,
        answer=answer,
        content=content,
    )
