"""The report of an evaluation: every figure with its interval, as frozen values and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mch_runtime.evaluation.metrics import (
    Bin,
    Estimate,
    brier,
    ece,
    ece_floor,
    mcnemar,
    paired_difference,
    ranking,
    reliability,
    wilson,
)
from mch_runtime.evaluation.overlap import Overlap
from mch_runtime.evaluation.rejection import aurc, rejection_ratio, risk_curve
from mch_runtime.evaluation.rows import GUIDED, PLAIN, Row, any_right, by_votes, rows
from mch_runtime.evaluation.samples import Sample, Setup
from mch_runtime.evaluation.theory import Theory, bits_per_tflop, compare
from mch_runtime.strategies.selection import Rule, SelectionSettings
from mch_runtime.wire import plain

SCHEMA = "sage.evaluation/1"
CURVE_POINTS = 50
_SEED = 0  # of the bootstrap
_CURVES: Mapping[str, Rule] = {GUIDED: "both", PLAIN: "majority"}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A row of the report.

    tokens and seconds: for a problem, in the mean; cost: tokens relative to fast. known: for how many problems
    there is a confidence; calibrated: whether it is meant as a probability. ece, brier and bins are over those;
    auroc, aurc and rejection_ratio over all problems that have a score. risk: share answered, share of those wrong. None where it is not defined.
    """

    name: str
    about: str
    count: int
    accuracy: Estimate
    tokens: float
    seconds: float
    cost: float | None
    known: int
    calibrated: bool
    mean_confidence: float | None
    ece: float | None
    ece_floor: float | None
    brier: float | None
    auroc: Estimate | None
    aurc: float | None
    rejection_ratio: float | None
    bits_per_tflop: float | None
    bins: tuple[Bin, ...]
    risk: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two rows on the same problems. difference: of the first less the second, in shares of right answers; p: McNemar's."""

    first: str
    second: str
    difference: Estimate
    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True, kw_only=True)
class Group:
    """The share of right answers in a part of the problems, by row."""

    name: str
    count: int
    accuracy: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """words: the length of the runs compared. touched: problems that share one with training; the accuracies are of the first row."""

    words: int
    records: int
    touched: int
    count: int
    accuracy_touched: Estimate | None
    accuracy_clean: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """against: the row that the others are compared with. oracle: the share of problems of which any chain is right."""

    setup: Setup
    count: int
    of: int
    against: str
    rows: tuple[Figures, ...]
    comparisons: tuple[Comparison, ...]
    groups: tuple[Group, ...]
    votes: Mapping[str, tuple[tuple[int, float], ...]]
    oracle: Estimate | None
    theory: Theory
    contamination: Contamination | None


def make_report(
    setup: Setup,
    samples: Sequence[Sample],
    *,
    settings: SelectionSettings | None = None,
    of: int | None = None,
    against: str | None = None,
    overlap: Overlap | None = None,
) -> Report:
    """Everything that the samples tell. There is at least one. of: how many problems the task has."""
    settings = settings or SelectionSettings()
    found = {row.name: row for row in rows(samples, settings)}
    rng = np.random.default_rng(_SEED)
    answers = len({sample.problem.answer for sample in samples})
    options = max(len(sample.problem.options) for sample in samples)
    baseline = against if against in found else PLAIN if PLAIN in found else next(iter(found), "")
    drawn = all(sample.chains is not None for sample in samples)
    return Report(
        setup=setup,
        count=len(samples),
        of=of or len(samples),
        against=baseline,
        rows=tuple(
            figures(row, found.get("fast"), rng=rng, answers=options or answers, parameters=setup.parameters)
            for row in found.values()
        ),
        comparisons=tuple(comparisons(list(found.values()), rng=rng)),
        groups=tuple(_groups(samples, found)),
        votes={
            name: tuple(by_votes(samples, rule, settings)) for name, rule in _CURVES.items() if name in found
        }
        if drawn
        else {},
        oracle=_share(any_right(samples)) if drawn else None,
        theory=compare(samples, found),
        contamination=_contamination(overlap, found),
    )


def figures(
    row: Row, fast: Row | None, *, rng: np.random.Generator, answers: int, parameters: int | None
) -> Figures:
    """All measures of one row."""
    right = row.right.astype(np.float64)
    known = np.isfinite(row.confidence)
    confidence, labels = row.confidence[known], right[known]
    scored = np.isfinite(row.score)
    score, ranked = row.score[scored], right[scored]
    accuracy, tokens = float(right.mean()), float(row.tokens.mean())
    has = len(confidence) > 0
    return Figures(
        name=row.name,
        about=row.about,
        count=len(right),
        accuracy=_share(row.right),
        tokens=tokens,
        seconds=float(row.seconds.mean()),
        cost=tokens / float(fast.tokens.mean()) if fast is not None else None,
        known=int(known.sum()),
        calibrated=row.calibrated,
        mean_confidence=float(confidence.mean()) if has else None,
        ece=ece(confidence, labels) if has else None,
        ece_floor=ece_floor(confidence, rng=rng) if has else None,
        brier=brier(confidence, labels) if has else None,
        auroc=ranking(score, ranked, np.arange(len(score)), rng=rng),
        aurc=_defined(aurc(score, ranked)),
        rejection_ratio=_defined(rejection_ratio(score, ranked)),
        bits_per_tflop=bits_per_tflop(accuracy, answers, tokens=tokens, parameters=parameters)
        if parameters
        else None,
        bins=tuple(reliability(confidence, labels)) if has else (),
        risk=_curve(risk_curve(score, ranked)) if len(score) else (),
    )


def comparisons(found: Sequence[Row], *, rng: np.random.Generator) -> list[Comparison]:
    """Every two rows."""
    pairs = []
    for place, first in enumerate(found):
        for second in found[place + 1 :]:
            only_first, only_second, p = mcnemar(first.right, second.right)
            pairs.append(
                Comparison(
                    first=first.name,
                    second=second.name,
                    difference=paired_difference(second.right, first.right, rng=rng),
                    only_first=only_first,
                    only_second=only_second,
                    p=p,
                )
            )
    return pairs


def against(report: Report) -> list[Comparison]:
    """The comparisons with the report's baseline, turned so that it is the second row."""
    return [
        one if one.second == report.against else turned(one)
        for one in report.comparisons
        if report.against in {one.first, one.second}
    ]


def turned(one: Comparison) -> Comparison:
    """The same comparison from the other side."""
    gap = one.difference
    return Comparison(
        first=one.second,
        second=one.first,
        difference=Estimate(-gap.value, -gap.high, -gap.low),
        only_first=one.only_second,
        only_second=one.only_first,
        p=one.p,
    )


def report_to_wire(report: Report) -> dict[str, Any]:
    """Plain dicts, lists, numbers and strings; what is not defined is null."""
    wire: dict[str, Any] = plain({"schema": SCHEMA} | asdict(report))
    wire["setup"] = report.setup.to_wire()
    return wire


def _groups(samples: Sequence[Sample], found: Mapping[str, Row]) -> list[Group]:
    names = [sample.problem.group for sample in samples]
    parts = []
    for name in dict.fromkeys(names):
        members = np.array([other == name for other in names])
        shares = {row.name: _share(row.right[members]) for row in found.values()}
        parts.append(Group(name=name or "others", count=int(members.sum()), accuracy=shares))
    return parts if len(parts) > 1 else []


def _contamination(overlap: Overlap | None, found: Mapping[str, Row]) -> Contamination | None:
    if overlap is None or not found:
        return None
    touched = np.array([share > 0 for share in overlap.shared])
    right = next(iter(found.values())).right
    return Contamination(
        words=overlap.words,
        records=overlap.records,
        touched=int(touched.sum()),
        count=len(touched),
        accuracy_touched=_share(right[touched]) if touched.any() else None,
        accuracy_clean=_share(right[~touched]) if not touched.all() else None,
    )


def _share(right: np.ndarray) -> Estimate:
    return wilson(int(right.sum()), len(right))


def _defined(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _curve(risks: np.ndarray) -> tuple[tuple[float, float], ...]:
    """A number of points of the risk-coverage curve, the last one included."""
    places = np.unique(np.linspace(0, len(risks) - 1, min(CURVE_POINTS, len(risks))).round().astype(int))
    return tuple((float((place + 1) / len(risks)), float(risks[place])) for place in places)
