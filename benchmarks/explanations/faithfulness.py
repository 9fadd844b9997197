"""Whether the named premises are what the model's steps rest on, and answers follow from the steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from benchmarks.explanations.chains import LIGHT, Written, told
from benchmarks.explanations.figures import Table, ratio, recorded, shown
from mch_runtime.engine import Engine
from mch_runtime.evaluation.metrics import Estimate
from mch_runtime.explanation import Faithfulness

MEASURED = replace(LIGHT, premises=True, attention=True, faithfulness=True)


def measure(engine: Engine, written: Iterable[Written]) -> list[Faithfulness]:
    """Of every chain in which a step has a premise."""
    found = (engine.explain(one.trace, MEASURED).faithfulness for one in told(written, "faithfulness"))
    return [one for one in found if one is not None]


def mean_over(found: Sequence[Faithfulness], name: str) -> Estimate | None:
    """The mean of a figure over the chains, one of each problem, that have it."""
    values = [value for one in found if (value := getattr(one, name)) is not None]
    return ratio(values, [1] * len(values), range(len(values)))


def report(found: Sequence[Faithfulness]) -> Table:
    """Means over chains, in nats per token but for the last."""
    figures = {field.name: mean_over(found, field.name) for field in fields(Faithfulness)}
    return Table(
        f"Faithfulness, means over {len(found)} greedy chains (nats per token; answer_follows: a share)",
        ["figure", "mean"],
        [[name, shown(value)] for name, value in figures.items()],
        {"chains": len(found), **{name: recorded(value) for name, value in figures.items()}},
    )
