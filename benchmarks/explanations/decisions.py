"""Decision points: whether the roads not taken turn a wrong chain right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.explanations.chains import LIGHT, Written, told
from benchmarks.explanations.figures import Table, ratio, recorded, share, shown, verdict
from mch_runtime.engine import Engine
from mch_runtime.evaluation.metrics import Estimate
from mch_runtime.explanation import Alternative, Decision

WITHIN = (1, 2, 3)
SHIPPED = replace(LIGHT, alternatives=True)
# As wide as roads can be followed at reasonable cost: what could have turned the chain right.
WIDE = replace(SHIPPED, points=12, alternatives_each=6, budget=1 << 15)


@dataclass(frozen=True)
class Turned:
    """A wrong chain and whether roads lead to the right answer, best first.

    top: those of the first decision point; likeliest: all of them by their token's probability; any:
    whether one of all roads of all decision points does.
    """

    group: int
    top: tuple[bool, ...]
    likeliest: tuple[bool, ...]
    any: bool


def turned(group: int, answer: str, shipped: Sequence[Decision], wide: Sequence[Decision]) -> Turned:
    """Both are the decision points of the same chain, found with few and with many roads."""
    everywhere = [one for decision in (*shipped, *wide) for one in decision.alternatives]
    likeliest = sorted(
        (one for decision in wide for one in decision.alternatives), key=lambda one: -one.probability
    )
    first = shipped[0].alternatives if shipped else ()
    return Turned(
        group,
        tuple(_leads(one, answer) for one in first),
        tuple(_leads(one, answer) for one in likeliest),
        any(_leads(one, answer) for one in everywhere),
    )


def _leads(one: Alternative, answer: str) -> bool:
    return one.outcome is not None and one.outcome.answer == answer


def survey(engine: Engine, wrong: Iterable[Written]) -> Iterator[Turned]:
    """Every wrong chain with its roads."""
    for one in told(wrong, "decision points"):
        shipped, wide = (engine.explain(one.trace, options).decisions or () for options in (SHIPPED, WIDE))
        yield turned(one.group, one.problem.answer, shipped, wide)


def report(found: Sequence[Turned]) -> Table:
    """Shares of the fixable chains: those for which some road leads to the right answer."""
    fixable = [one for one in found if one.any]
    groups = [one.group for one in fixable]
    rows, results = [], {}
    reached: Estimate | None = None
    for k in WITHIN:
        figures = {
            "of_fixable": share([any(one.top[:k]) for one in fixable], groups),
            "of_wrong": share([any(one.top[:k]) for one in found], [one.group for one in found]),
            "likeliest_of_fixable": share([any(one.likeliest[:k]) for one in fixable], groups),
        }
        reached = figures["of_fixable"]
        results[str(k)] = {key: recorded(value) for key, value in figures.items()}
        rows.append([str(k), *(shown(value) for value in figures.values())])
    could = ratio([one.any for one in found], [1] * len(found), [one.group for one in found])
    return Table(
        f"Right answers at the top decision point: {len(fixable)} fixable of {len(found)} wrong chains",
        ["alternatives", "of the fixable", "of all wrong ones", "likeliest tokens instead, of the fixable"],
        rows,
        {"wrong": len(found), "fixable": recorded(could), "within": results},
        (verdict("fixed", "fixable chains turned right within 3 alternatives", reached),),
    )
