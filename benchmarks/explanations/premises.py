"""Premises found, on chains of the model that are the exact solution, so that every step's premises are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.explanations.chains import told
from benchmarks.explanations.figures import Table, ratio, recorded, shown, verdict
from benchmarks.premises_study import (
    CTX_SIZE,
    MAX_SEQUENCES,
    THRESHOLDS,
    Case,
    measure,
    overlap,
    quality,
    recency,
)
from mch_runtime.evaluation.metrics import Estimate
from mch_runtime.inverse.premises import ABLATION_SHARE, ATTENTION_SHARE, JOINT_SHARE, shares
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.options import EngineOptions
from mch_runtime.session import FloatArray, Interrupt
from training.curriculum import ALL_FAMILIES
from training.problems import Problem

Method = Callable[[Case], FloatArray]


@dataclass(frozen=True)
class Known:
    """A step whose premises are known. own: the model wrote the chain itself, word for word."""

    case: Case
    group: int
    own: bool


@dataclass(frozen=True)
class Count:
    """Of one step: premises named rightly, named, true, and how many of the strongest are true."""

    hits: int
    named: int
    true: int
    first: int


def _at_random(case: Case) -> FloatArray:
    rng = Random(case.text)
    return np.array([rng.random() for _ in case.places], dtype=np.float32)


def _by_attention(case: Case) -> FloatArray:
    assert case.evidence.attention is not None
    return case.evidence.attention


# Their thresholds are chosen on validation problems, as those of the methods were.
BASELINES: Mapping[str, Method] = {
    "random": _at_random,
    "recency": recency,
    "shared names and numbers": lambda case: shares(overlap(case)),
}
METHODS: Mapping[str, tuple[Method, float]] = {
    "attention": (_by_attention, ATTENTION_SHARE),
    "ablation": (lambda case: case.evidence.ablation_share, ABLATION_SHARE),
    "both": (lambda case: case.evidence.joint, JOINT_SHARE),
    "both, sparing (as shipped)": (lambda case: case.sparing.joint, JOINT_SHARE),
}


def gather(
    model_path: Path, drawn: Sequence[Problem], own: set[int], *, validation: Sequence[Problem]
) -> tuple[list[Known], list[Case]]:
    """The steps of the drawn problems' exact solutions, and those of the validation problems.

    own: the problems whose exact solution the model wrote itself.
    """
    options = EngineOptions(model=model_path, ctx_size=CTX_SIZE, max_sequences=MAX_SEQUENCES)
    interrupt = Interrupt()
    with open_model(model_path) as model, open_session(model, options, interrupt) as session:
        source = LlamaAttention(model, options, interrupt)
        fitted = [
            case
            for problem in told(validation, "validation premises")
            for case in measure(session, source, problem)
        ]
        known = [
            Known(case, group, group in own)
            for group, problem in told(enumerate(drawn), "premises")
            for case in measure(session, source, problem)
        ]
    return known, fitted


def best_threshold(cases: Sequence[Case], method: Method) -> float:
    """The threshold with the best F1."""
    scores = [method(case) for case in cases]
    candidates = np.unique(np.quantile(np.concatenate(scores), np.linspace(0, 0.995, THRESHOLDS)))
    # Everything may be a premise: no score is below 0.
    return float(max([-1.0, *candidates], key=lambda candidate: quality(cases, scores, candidate)[0]))


def count(score: FloatArray, true: frozenset[int], threshold: float) -> Count:
    """score: (n,) of the places before a step; those above the threshold are named."""
    above = set(np.flatnonzero(score > threshold).tolist())
    strongest = set(np.argsort(-score, kind="stable")[: len(true)].tolist())
    return Count(len(above & true), len(above), len(true), len(strongest & true))


def f1(counts: Sequence[Count], groups: Sequence[int]) -> Estimate | None:
    """Pooled over all steps, interval over problems."""
    return ratio([2 * one.hits for one in counts], [one.named + one.true for one in counts], groups)


def report(known: Sequence[Known], fitted: Sequence[Case]) -> Table:
    """Every method on the model's own chains; F1 also on all exact solutions, whoever could have written them."""
    rows, results, f1s = [], {}, {}
    thresholds = {name: best_threshold(fitted, method) for name, method in BASELINES.items() if fitted}
    methods = {name: (BASELINES[name], threshold) for name, threshold in thresholds.items()} | dict(METHODS)
    for name, (method, threshold) in methods.items():
        found = _measured(known, method, threshold)
        f1s[name] = found["f1"]
        results[name] = {"threshold": threshold} | {key: recorded(value) for key, value in found.items()}
        rows.append([name, f"{threshold:.3f}", *(shown(value) for value in found.values())])
    # One method is shipped, and it is the goal's; the others are there to compare.
    best = max(METHODS, key=lambda name: _value(f1s[name]))
    own = [one for one in known if one.own]
    sizes: dict[str, Any] = {
        "chains": len({one.group for one in own}),
        "steps": len(own),
        "all_solutions": len({one.group for one in known}),
        "validation_steps": len(fitted),
    }
    header = [
        "method",
        "threshold",
        "F1",
        "precision",
        "recall",
        "first k",
        *ALL_FAMILIES,
        "F1, all solutions",
    ]
    return Table(
        f"Premises of {len(own)} steps of {sizes['chains']} chains that are the exact solution",
        header,
        rows,
        sizes | {"methods": results, "best": best},
        tuple(
            verdict("premises", f"F1 of {name}", f1s[name])
            for name in dict.fromkeys((best, "both, sparing (as shipped)"))
        ),
    )


def _measured(known: Sequence[Known], method: Method, threshold: float) -> dict[str, Estimate | None]:
    counts = [count(method(one.case), one.case.true, threshold) for one in known]
    groups = [one.group for one in known]
    own = [i for i, one in enumerate(known) if one.own]
    mine, of = [counts[i] for i in own], [groups[i] for i in own]
    found = {
        "f1": f1(mine, of),
        "precision": ratio([c.hits for c in mine], [c.named for c in mine], of),
        "recall": ratio([c.hits for c in mine], [c.true for c in mine], of),
        "first_k": ratio([c.first for c in mine], [c.true for c in mine], of),
    }
    for family in ALL_FAMILIES:
        members = [i for i in own if known[i].case.family == family]
        found[f"f1_{family}"] = f1([counts[i] for i in members], [groups[i] for i in members])
    return found | {"f1_all_solutions": f1(counts, groups)}


def _value(figure: Estimate | None) -> float:
    return -1.0 if figure is None else figure.value
