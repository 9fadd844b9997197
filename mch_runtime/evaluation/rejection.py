"""Answering less to be right more: the risk of the answers that are kept, the least sure dropped first.

AURC is the area under that curve, the mean over all numbers of answers kept of the share of wrong ones among
them (Geifman and El-Yaniv, 2017). The prediction-rejection ratio sets it between a score that knows nothing, 0,
and one that knows which answers are wrong, 1 (Malinin and Gales, 2021).
"""

from __future__ import annotations

import numpy as np

from mch_runtime.evaluation.metrics import Array


def risk_curve(scores: Array, labels: Array) -> Array:
    """The share of wrong answers among the k of highest score, for k = 1 .. n, (n,); labels are 0 or 1.

    Answers of equal score are taken in the mean over their orders.
    """
    order = np.argsort(-scores, kind="stable")
    wrong = 1.0 - labels[order]
    _, block, counts = np.unique(-scores[order], return_inverse=True, return_counts=True)
    shared = np.bincount(block, weights=wrong) / counts
    result: Array = np.cumsum(shared[block]) / np.arange(1, len(scores) + 1)
    return result


def aurc(scores: Array, labels: Array) -> float:
    """Area under the risk-coverage curve; lower is better. nan for no rows."""
    return float(risk_curve(scores, labels).mean()) if len(scores) else float("nan")


def rejection_ratio(scores: Array, labels: Array) -> float:
    """1 for a score that drops all wrong answers first, 0 for one that knows nothing; nan if all labels are alike."""
    wrong = 1.0 - labels
    if not 0 < wrong.sum() < len(wrong):
        return float("nan")
    unknowing, knowing = float(wrong.mean()), aurc(labels, labels)
    return (unknowing - aurc(scores, labels)) / (unknowing - knowing)
