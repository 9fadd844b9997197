"""The first wrong step: found or not, and false alarms on clean chains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.explanations.chains import Explained
from benchmarks.explanations.figures import Table, ratio, recorded, share, shown, verdict
from mch_runtime.evaluation.metrics import Estimate, wilson
from mch_runtime.inverse.segment import sentences
from mch_runtime.inverse.verdicts import first_wrong, judge_steps
from mch_runtime.trace import Step
from training.curriculum import ALL_FAMILIES

DOUBTFUL = 0.5  # where the head alone calls a step wrong
MOST_REASONS = 12
SHIPPED = "verdicts"

Finder = Callable[[Explained], int | None]


def _by_text(one: Explained) -> int | None:
    """The verdicts without the head."""
    question = one.written.problem.question
    parts = [question[start:end] for start, end in sentences(question)]
    return first_wrong(judge_steps([step.text for step in one.steps], question=parts))


def _by_head(one: Explained) -> int | None:
    return next(
        (i for i, s in enumerate(one.steps) if s.confidence and s.confidence["valid"] < DOUBTFUL), None
    )


METHODS: Mapping[str, Finder] = {
    SHIPPED: lambda one: one.found_step,
    "text alone": _by_text,
    "head alone": _by_head,
}
LOGPROBS: Mapping[str, Callable[[Step], float]] = {
    "least likely step": lambda step: step.logprob_mean,
    "step with the least likely token": lambda step: step.logprob_min,
}


def lowest(logprobs: Sequence[float]) -> tuple[int, float]:
    """The least likely step and its log-probability."""
    index = int(np.argmin(logprobs))
    return index, float(logprobs[index])


def alarm_threshold(values: Sequence[float], rate: float) -> float:
    """Below it lies at most a share ``rate`` of the values: clean chains' lowest log-probabilities."""
    ordered = np.sort(values)
    return float(ordered[min(int(rate * len(ordered)), len(ordered) - 1)])


def baseline(of_step: Callable[[Step], float], validation: Sequence[Explained]) -> tuple[Finder, float]:
    """The least likely step, if it is below a threshold; with the threshold.

    On the validation chains it raises as many false alarms as the verdicts do.
    """
    clean = [one for one in validation if one.wrong_step is None]
    alarms = sum(one.found_step is not None for one in clean)
    lows = [lowest([of_step(step) for step in one.steps])[1] for one in clean]
    threshold = alarm_threshold(lows, alarms / len(clean)) if clean else float("-inf")

    def find(one: Explained) -> int | None:
        index, value = lowest([of_step(step) for step in one.steps])
        return index if value < threshold else None

    return find, threshold


def report(chains: Sequence[Explained], validation: Sequence[Explained]) -> Table:
    """Found over chains with an error; false alarms over clean ones."""
    wrong = [one for one in chains if one.wrong_step is not None]
    clean = [one for one in chains if one.wrong_step is None]
    finders = dict(METHODS)
    knowing: dict[str, Finder] = {}
    thresholds = {}
    for name, of_step in LOGPROBS.items():
        finders[name], thresholds[name] = baseline(of_step, validation)
        knowing[f"{name}, told that one is wrong"] = _told(of_step)
    rows, results = [], {}
    estimates: dict[str, dict[str, Estimate | None]] = {}
    for name, find in (finders | knowing).items():
        figures = _figures(find, wrong, clean if name in finders else [])
        estimates[name] = figures
        results[name] = {key: recorded(value) for key, value in figures.items()}
        rows.append([name, *(shown(value) for value in figures.values())])
    found, alarm = (estimates[SHIPPED][key] for key in ("found", "false_alarm"))
    return Table(
        f"First wrong step of {len(wrong)} chains with an error; false alarms on {len(clean)} clean ones",
        ["method", "found", "found, greedy", "noticed", *ALL_FAMILIES, "false alarm", "false alarm, greedy"],
        rows,
        {
            "wrong": len(wrong),
            "clean": len(clean),
            "validation": len(validation),
            "thresholds": thresholds,
            "methods": results,
            "missed_reasons": missed_reasons(wrong),
        },
        (
            verdict("found", "first wrong step found", found),
            verdict("false alarm", "false alarm on clean chains", alarm),
        ),
    )


def _told(of_step: Callable[[Step], float]) -> Finder:
    return lambda one: lowest([of_step(step) for step in one.steps])[0]


def _figures(
    find: Finder, wrong: Sequence[Explained], clean: Sequence[Explained]
) -> dict[str, Estimate | None]:
    """noticed: that a chain is wrong, whatever the step."""
    hits = [find(one) == one.wrong_step for one in wrong]
    groups = [one.written.group for one in wrong]
    greedy = [i for i, one in enumerate(wrong) if one.written.greedy]
    figures: dict[str, Estimate | None] = {
        "found": share(hits, groups),
        "found_greedy": wilson(sum(hits[i] for i in greedy), len(greedy)) if greedy else None,
        "noticed": share([find(one) is not None for one in wrong], groups),
    }
    for family in ALL_FAMILIES:
        of_family = [one.written.problem.family == family for one in wrong]
        figures[f"found_{family}"] = ratio(np.array(hits) & np.array(of_family), of_family, groups)
    alarms = [find(one) is not None for one in clean]
    calm = [alarm for alarm, one in zip(alarms, clean, strict=True) if one.written.greedy]
    figures["false_alarm"] = share(alarms, [one.written.group for one in clean])
    figures["false_alarm_greedy"] = wilson(sum(calm), len(calm)) if calm else None
    return figures


def missed_reasons(wrong: Sequence[Explained]) -> list[dict[str, Any]]:
    """Why the steps are wrong that were not found, the commonest reasons first."""
    reasons: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for one in wrong:
        assert one.wrong_step is not None
        reason = one.labels[one.wrong_step].reason
        reasons[reason] += 1
        missed[reason] += one.found_step != one.wrong_step
    return [
        {"reason": reason, "chains": reasons[reason], "missed": count}
        for reason, count in missed.most_common(MOST_REASONS)
        if count
    ]
