"""P(the answer is right) at a step's end, at a chain's end, and of a greedy chain: calibrators that bend.

A line through the ``answer`` logit (Platt scaling) does not have the shape of the truth: sage-pico's chains with a middling
logit are right less often than any line says that fits the others (``docs/lab-log.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mch_runtime.head.calibration import fit_calibrator, with_calibrator
from mch_runtime.head.confidence import AT_END, bending, step_features
from mch_runtime.head.fit import CHANNELS, TraceSet
from mch_runtime.head.network import step_logits
from mch_runtime.head.spec import Head
from mch_runtime.statistics import FEATURE_NAMES

ANSWER = "answer"
Told = Sequence[Mapping[str, float]]


def with_curves(head: Head, held_out: TraceSet, greedy: TraceSet) -> Head:
    """The head with calibrators for its ``answer`` channel, from sampled chains, and for ``fast``, from greedy ones.

    Where all labels are alike nothing can be fitted, and what the head had before stays.
    """
    column = CHANNELS.index(ANSWER)
    sampled, last = told(head, held_out), held_out.last_steps
    plan = (
        (ANSWER, sampled, held_out.labels[:, column], ~last),
        (ANSWER + AT_END, sampled, held_out.labels[:, column], last),
        ("fast", told(head, greedy), greedy.labels[:, column], greedy.last_steps),
    )
    for name, rows, labels, chosen in plan:
        head = with_curve(head, name, rows, labels, chosen)
    return head


def with_curve(
    head: Head, name: str, rows: Told, labels: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> Head:
    """rows: what is told of n steps; labels: (n,) whether the answer is right, nan where unknown; chosen: (n,)."""
    places = np.flatnonzero(chosen & np.isfinite(labels)).tolist()
    right = [bool(labels[place] > 0.5) for place in places]
    if all(right) or not any(right):
        return head
    found = fit_calibrator([rows[place] for place in places], right, bending(ANSWER))
    return with_calibrator(head, name, found)


def told(head: Head, traces: TraceSet) -> list[dict[str, float]]:
    """What calibrators are shown at every step's end (n_steps), in order."""
    logits = chain_logits(head, traces)
    at_ends = traces.features[traces.starts[traces.step_chains] + traces.step_ends]
    statistics = at_ends[:, [FEATURE_NAMES.index(name) for name in head.spec.statistics]]
    return [step_features(head.spec, *row) for row in zip(logits, statistics, strict=True)]


def chain_logits(head: Head, traces: TraceSet) -> NDArray[np.float64]:
    """The numpy head's raw channel logits (n_steps, K) at every step's end, in order."""
    rows = np.empty((len(traces.step_ends), len(head.spec.channels)))
    for chain in range(len(traces.problems)):
        first, behind = np.searchsorted(traces.step_chains, (chain, chain + 1))
        span = slice(traces.starts[chain], traces.starts[chain + 1])
        ends = traces.step_ends[first:behind].tolist()
        rows[first:behind] = step_logits(head, traces.hidden[span], traces.features[span], ends)
    return rows
