"""Wrong steps that look right: what could stand in a line's place and does not follow there.

A family's own ways of going wrong draft them, and its judge has the last word on every one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal, get_args

from training.families import FAMILIES
from training.families.judging import NOT_A_STEP, EquationJudge
from training.families.order.judge import Judge as OrderJudge
from training.families.order.slips import OrderSlips
from training.families.slips import EquationSlips
from training.problems import Problem

MistakeKind = Literal["operand", "invented", "arithmetic"]

TRIES = 16  # drafts of a kind, most of which are mistakes; where it has none, giving up must be quick


@dataclass(frozen=True)
class Mistake:
    """A numbered line without its newline, and what is wrong with it.

    operand: values or people that do not belong there; invented: a relation, number or gap that the
    question does not have; arithmetic: the right premises and a wrong conclusion.
    """

    kind: MistakeKind
    line: str


def hard_negatives(problem: Problem, index: int, rng: Random) -> tuple[Mistake, ...]:
    """Up to three wrong lines in the place of the exact solution's line ``index``, one of each kind.

    All are different and wrong after the exact lines before them. A kind is left out where none of its
    drafts is wrong: a step that says what is missing, for one, has no arithmetic.
    """
    judge = FAMILIES[problem.family].reader(problem)
    for step in problem.steps[:index]:
        judge.step(step.text)
    right = problem.steps[index].text
    slips: EquationSlips | OrderSlips
    if isinstance(judge, OrderJudge):
        slips = OrderSlips(judge, right, rng)
    else:
        assert isinstance(judge, EquationJudge)
        slips = EquationSlips(judge, problem.question, right, rng)
    found: dict[str, MistakeKind] = {}
    for kind in get_args(MistakeKind):
        drafts: Iterator[str] = getattr(slips, kind)()
        for said in islice(drafts, TRIES):
            if said and said != right and said not in found and judge.consider(said) not in ("", NOT_A_STEP):
                found[said] = kind
                break
    return tuple(Mistake(kind, f"Step {index + 1}: {said}") for said, kind in found.items())
