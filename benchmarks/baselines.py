"""What the head is compared with: lesser heads and a linear probe, fitted here on training problems.

Nothing of it is shipped. Fitting the lesser heads needs torch; all of it is evaluated in numpy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.evaluation import SETS
from benchmarks.pico import chains_of
from mch_runtime.evaluation.metrics import Array
from mch_runtime.head.fit import CHANNELS, FitConfig, TraceSet, fit, import_torch, platt
from mch_runtime.head.spec import Head
from mch_runtime.session import Session
from mch_runtime.statistics import FEATURE_NAMES
from training.curriculum import problems
from training.problems import Problem, Split
from training.traces import record

L2 = 1.0
WITHOUT_STATISTICS, WITHOUT_ATTENTION = "head without statistics", "head without attention"


@dataclass(frozen=True)
class LinearProbe:
    """A logistic regression on the standardised hidden state at a step's end, for every channel.

    mean, scale (d,); weight (K, d); bias (K,), Platt scaling included.
    """

    mean: Array
    scale: Array
    weight: Array
    bias: Array

    def logits(self, hidden: np.ndarray) -> Array:
        """(n, K) for states (n, d)."""
        return np.asarray(((hidden - self.mean) / self.scale) @ self.weight.T + self.bias)


@dataclass(frozen=True)
class Baselines:
    """Heads by name, and the probe; neither where nothing was fitted."""

    heads: dict[str, Head] = field(default_factory=dict)
    probe: LinearProbe | None = None


def fit_baselines(session: Session, head: Head, *, count: int, chains: int, seed: int) -> Baselines:
    """Sample ``chains`` chains of ``count`` training problems, a quarter more to stop and calibrate, and fit.

    Raises UsageError, before anything is sampled, without torch.
    """
    import_torch()
    with tempfile.TemporaryDirectory() as folder:
        sets = []
        plan: tuple[tuple[Split, int], ...] = (("train", count), ("validation", max(1, count // 4)))
        for split, number in plan:
            stream = chains_of(
                session,
                mixed(split, seed=seed),
                count=number,
                per_problem=chains,
                temperature=1.0,
                seed=seed + number,
            )
            sets.append(record(stream, Path(folder) / f"{split}.npz"))
        return _fit(head, *sets, seed=seed)


def mixed(split: Split, *, seed: int) -> Iterator[Problem]:
    """Problems in the mixture of the ``mixed`` evaluation set, of another split."""
    streams = [
        problems(mixture, split_name=split, seed=f"{seed}/baselines/{index}")
        for index, mixture in enumerate(SETS["mixed"].mixtures)
    ]
    while True:
        for stream in streams:
            yield next(stream)


def _fit(head: Head, train: TraceSet, held_out: TraceSet, *, seed: int) -> Baselines:
    spec = head.spec
    config = FitConfig(width=spec.width, head_count=spec.head_count, seed=seed)
    configs = {
        WITHOUT_STATISTICS: replace(config, statistics=False),
        WITHOUT_ATTENTION: replace(config, attention=False),
    }
    heads = {}
    for name, changed in configs.items():
        print(f"fitting: {name}", flush=True)
        fitted = fit(train, held_out, changed)
        calibrated = replace(
            spec,
            statistics=FEATURE_NAMES,
            channels=CHANNELS,
            rope_freq_base=config.rope_freq_base,
            rms_epsilon=config.rms_epsilon,
            platt_scale=fitted.platt_scale,
            platt_bias=fitted.platt_bias,
        )
        heads[name] = Head(calibrated, fitted.tensors)
    return Baselines(heads, fit_probe(train, held_out))


def fit_probe(train: TraceSet, held_out: TraceSet) -> LinearProbe:
    """L2-regularised, by Newton's method; Platt scaling on ``held_out``."""
    states = _end_states(train)
    mean, scale = states.mean(axis=0), states.std(axis=0) + 1e-6
    design = np.concatenate([(states - mean) / scale, np.ones((len(states), 1))], axis=1)
    weights = np.stack([_logistic(design, train.labels[:, k]) for k in range(len(CHANNELS))])
    raw = LinearProbe(mean, scale, weights[:, :-1], weights[:, -1])
    logits = raw.logits(_end_states(held_out))
    pairs = [platt(logits[:, k], held_out.labels[:, k]) for k in range(len(CHANNELS))]
    slope, bias = np.array(pairs).T
    return replace(raw, weight=raw.weight * slope[:, None], bias=raw.bias * slope + bias)


def _end_states(traces: TraceSet) -> Array:
    return traces.hidden[traces.starts[traces.step_chains] + traces.step_ends].astype(np.float64)


def _logistic(design: Array, labels: np.ndarray) -> Array:
    """Weights of least cross-entropy plus L2 / 2 of their squares; design (n, m) with the constant last."""
    weight = np.zeros(design.shape[1])
    penalty = np.full(len(weight), L2)
    penalty[-1] = 1e-6
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ weight, -50, 50)))
        gradient = design.T @ (p - labels) + penalty * weight
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        weight -= step
        if np.abs(step).max() < 1e-6:
            break
    return weight
