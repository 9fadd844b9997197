"""Rules as arrays: the log-weights of every chain, and which answer they elect.

The same as ``mch_runtime.strategies.selection.select``, for thousands of problems at a time; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.selection.chains import Array, ChainSet
from mch_runtime.effort import SelectionSettings

_L2 = 1e-2
_ROUNDS = 400


@dataclass(frozen=True)
class Elected:
    """right: whether the elected answer is, share: of all chains, weighted: of all weight; all (P,). chosen: (P,) a chain
    that says it.
    """

    right: NDArray[np.bool_]
    share: Array
    weighted: Array
    chosen: NDArray[np.int64]


def elect(chains: ChainSet, log_weights: Array) -> Elected:
    """The answer with the most weight; ties go to the larger count, then to the one that came first."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    same = (chains.answers[:, :, None] == chains.answers[:, None, :]) & (chains.answers[:, :, None] >= 0)
    behind = np.einsum("pij,pj->pi", same, weights)
    count = same.sum(axis=2)
    order = behind + 1e-9 * count - 1e-12 * np.arange(behind.shape[1])
    chosen = order.argmax(axis=1)
    rows = np.arange(len(chosen))
    return Elected(
        right=chains.right[rows, chosen],
        share=count[rows, chosen] / behind.shape[1],
        weighted=behind[rows, chosen],
        chosen=chosen,
    )


def weighed(chains: ChainSet, coefficients: Mapping[str, float]) -> Array:
    """(P, N) the sum of measures times coefficients; what is not known of a chain counts as the least of its problem."""
    total = np.zeros(chains.answers.shape)
    for name, coefficient in coefficients.items():
        total += coefficient * filled(chains.measures[name])
    return total


def only_the_best(chains: ChainSet, name: str) -> Array:
    """All weight to the chain with an answer that has the highest measure."""
    values = np.where(chains.answers >= 0, filled(chains.measures[name]), -np.inf)
    return np.where(values == values.max(axis=1, keepdims=True), 0.0, -1e9)


def deepconf(chains: ChainSet, keep: float) -> Array:
    """Votes weighted by the bottom window, of the share ``keep`` of chains whose window is best (arXiv 2508.15260)."""
    window = filled(chains.measures["bottom_window"])
    kept = max(1, int(np.ceil(keep * window.shape[1])))
    threshold = np.sort(window, axis=1)[:, ::-1][:, kept - 1 : kept]
    return np.where(window >= threshold, np.log(np.maximum(window, 1e-9)), -1e9)


def fit(chains: ChainSet, names: Sequence[str]) -> dict[str, float]:
    """The coefficients under which the right answers have the most weight: maximum likelihood of
    sum of right weights / sum of weights, over the problems whose chains are not all right or all wrong.
    """
    mixed = chains.right.any(axis=1) & ~chains.right.all(axis=1)
    some = chains.of(mixed)
    values = np.stack([filled(some.measures[name]) for name in names], axis=2)
    spread = (values - values.mean(axis=1, keepdims=True)).std(axis=(0, 1))
    values = values / spread
    weight = np.zeros(len(names))
    moment, size = np.zeros(len(names)), np.zeros(len(names))
    for step in range(1, _ROUNDS + 1):  # Adam
        logits = values @ weight
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        q = np.where(some.right, p, 0.0)
        p /= p.sum(axis=1, keepdims=True)
        q /= q.sum(axis=1, keepdims=True)
        gradient = np.einsum("pn,pnk->k", q - p, values) / len(values) - _L2 * weight
        moment = 0.9 * moment + 0.1 * gradient
        size = 0.99 * size + 0.01 * gradient**2
        weight += 0.05 * (moment / (1 - 0.9**step)) / (np.sqrt(size / (1 - 0.99**step)) + 1e-8)
    return dict(zip(names, (weight / spread).tolist(), strict=True))


def shipped_coefficients(settings: SelectionSettings) -> dict[str, float]:
    """Those of the rule ``both``."""
    return {"ics": settings.ics_weight, "head": settings.head_weight}


def filled(values: Array) -> Array:
    """What is not known of a chain as the least of its problem, (P, N)."""
    least = np.nanmin(np.where(np.isnan(values), np.inf, values), axis=1, keepdims=True)
    return np.where(np.isnan(values), np.where(np.isinf(least), 0.0, least), values)
