"""What an explanation costs, in units of the generation of the chain it explains, in the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter, process_time
from typing import Any, NamedTuple, TypeVar

import numpy as np

from benchmarks.explanations.chains import LIGHT, ask, told
from benchmarks.explanations.figures import Table, ratio, recorded, shown, verdict
from mch_runtime.engine import Engine
from mch_runtime.evaluation.metrics import Estimate
from mch_runtime.options import ExplainOptions
from training.problems import Problem

FULL = ExplainOptions(alternatives=False)
GENERATION = "generation"
# Without alternatives an explanation finds the chain in the cache, as it does after an answer.
KEPT: Mapping[str, ExplainOptions] = {
    "steps, commitment, consistency": LIGHT,
    "with monotonicity, attention, ablation": FULL,
}
READ_AGAIN: Mapping[str, ExplainOptions] = {
    "the first, the chain read again": LIGHT,
    "the second, the chain read again": FULL,
    "alternatives, with the first": replace(LIGHT, alternatives=True),
}
GOAL_OF = dict(zip(KEPT, ("light", "full"), strict=True))

T = TypeVar("T")


class Spent(NamedTuple):
    """Seconds; cpu: of all threads."""

    wall: float
    cpu: float


def timed(work: Callable[[], T]) -> tuple[T, Spent]:
    """What it returns, and what it took."""
    wall, cpu = perf_counter(), process_time()
    result = work()
    return result, Spent(perf_counter() - wall, process_time() - cpu)


def measure(engine: Engine, drawn: Sequence[Problem]) -> dict[str, list[Spent]]:
    """Generation and every kind of explanation of each problem's greedy chain, in turn."""
    spent: dict[str, list[Spent]] = {name: [] for name in (GENERATION, *KEPT, *READ_AGAIN)}
    if drawn:
        _once(engine, drawn[0], {name: [] for name in spent})  # nothing is warm before it
    for problem in told(drawn, "cost"):
        _once(engine, problem, spent)
    return spent


def _once(engine: Engine, problem: Problem, spent: dict[str, list[Spent]]) -> None:
    trace, seconds = timed(partial(ask, engine, problem, keep=True))
    if not trace.steps:
        return
    spent[GENERATION].append(seconds)
    for name, options in KEPT.items():
        spent[name].append(timed(partial(engine.explain, trace, options))[1])
    # Whoever asks for alternatives gives up what was kept.
    engine.explain(trace, READ_AGAIN["alternatives, with the first"])
    for name, options in READ_AGAIN.items():
        spent[name].append(timed(partial(engine.explain, trace, options))[1])


def report(spent: Mapping[str, Sequence[Spent]]) -> Table:
    """Ratios of totals with intervals over chains, and the quartiles of the chains' own ratios."""
    base = spent[GENERATION]
    groups = range(len(base))
    rows, results, verdicts = [], {}, []
    for name, all_spent in spent.items():
        wall = ratio([one.wall for one in all_spent], [one.wall for one in base], groups)
        cpu = ratio([one.cpu for one in all_spent], [one.cpu for one in base], groups)
        quartiles = _quartiles([one.wall / own.wall for one, own in zip(all_spent, base, strict=True)])
        mean = float(np.mean([one.wall for one in all_spent]))
        results[name] = _record(mean, wall, cpu, quartiles)
        spread = f"{quartiles[1]:.2f} [{quartiles[0]:.2f}, {quartiles[2]:.2f}]"
        rows.append([name, f"{1000 * mean:.1f}", shown(wall), spread, shown(cpu)])
        if name in GOAL_OF:
            verdicts.append(verdict(GOAL_OF[name], f"cost of {name}", wall))
    return Table(
        f"Cost of explaining {len(base)} greedy chains, relative to writing them",
        ["what", "ms", "wall, ratio of totals", "wall, chains' quartiles", "processor, ratio of totals"],
        rows,
        {"chains": len(base), "ways": results},
        tuple(verdicts),
    )


def _quartiles(ratios: Sequence[float]) -> list[float]:
    return [float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75])]


def _record(
    mean: float, wall: Estimate | None, cpu: Estimate | None, quartiles: Sequence[float]
) -> dict[str, Any]:
    names = ("q25", "median", "q75")
    return {
        "seconds": round(mean, 5),
        "wall_ratio": recorded(wall),
        "wall_ratio_of_chains": {n: round(v, 3) for n, v in zip(names, quartiles, strict=True)},
        "processor_ratio": recorded(cpu),
    }
