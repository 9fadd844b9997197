"""``order``: who is taller, older, faster, stronger or heavier than whom.

    Ben is shorter than Ann. Compared with Cem, Ben is taller. Is Cem taller than Ann?

    Step 1: Ben is taller than Cem and Ben is shorter than Ann: Ann > Ben > Cem.
    Step 2: Cem is shorter than Ann.
    Answer: no

Every step but the last restates the fact that puts one more person into the row.
"""

from __future__ import annotations

from random import Random

from training.families.order.content import Content, Fact, draft
from training.families.order.judge import Judge
from training.families.order.solve import Solver
from training.families.order.wording import WORDINGS
from training.families.writing import wording
from training.problems import CONTRADICTION, UNKNOWN, Family, Kind, Level, Problem

MOST_STEPS = 12
ANSWERS: dict[str, Kind] = {UNKNOWN: "unanswerable", CONTRADICTION: "contradictory"}


class Order(Family):
    """See the module."""

    name = "order"

    def problem(
        self,
        rng: Random,
        *,
        level: Level,
        steps: int,
        kind: Kind = "answerable",
        unseen_wording: bool = False,
    ) -> Problem:
        """A problem with ``steps`` steps, 1 to 12, in story order unless ``level`` says otherwise."""
        if not 1 <= steps <= MOST_STEPS:
            raise ValueError(f"A problem of the family order has 1 to {MOST_STEPS} steps, not {steps}.")
        while True:
            content = draft(rng, steps=steps, kind=kind, plain=level == "easy")
            problem = write(rng, content, level=level, unseen_wording=unseen_wording)
            # Which fact a shuffled telling has first can change where a flaw shows.
            if (problem.kind, len(problem.steps)) == (kind, steps):
                return problem

    def reader(self, problem: Problem) -> Judge:
        """A judge that has read nothing yet."""
        assert isinstance(problem.content, Content)
        return Judge(problem.content, problem.answer)


def write(rng: Random, content: Content, *, level: Level, unseen_wording: bool) -> Problem:
    """Put the problem into words, with its solution."""

    def pick(name: str) -> str:
        return wording(WORDINGS, name, rng, unseen=unseen_wording)

    def sentence(fact: Fact) -> str:
        word = content.dimension.word(more=fact.more)
        return pick("fact").format(a=fact.subject, b=fact.reference, w=word.than, p=word.plain)

    sentences = tuple(sentence(fact) for fact in content.facts)
    word = content.dimension.word(more=content.more)
    asked = dict(zip("abc", content.of, strict=False))
    ask = pick(f"ask {content.asks}").format(w=word.than, s=word.most, d=content.dimension.noun, **asked)
    steps, answer = Solver(content).solve()
    return Problem(
        family=Order.name,
        level=level,
        kind=ANSWERS.get(answer, "answerable"),
        # However it is told, and by whatever people are compared.
        key=repr(sorted(fact.pair for fact in content.facts)),
        question=" ".join((*sentences, ask)),
        facts=sentences,
        steps=steps,
        answer=answer,
        content=content,
    )
