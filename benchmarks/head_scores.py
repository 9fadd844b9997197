"""What the head and its rivals say of chains, kept as they come: numbers, no hidden states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import Baselines
from benchmarks.greedy import logprob_mean
from benchmarks.judged import confidences_of, features_of
from mch_runtime.evaluation.metrics import Array
from mch_runtime.head.confidence import calibrate
from mch_runtime.head.fit import CHANNELS
from mch_runtime.head.network import step_logits
from mch_runtime.head.spec import Head
from training.traces import Sampled

HEAD, PROBE = "head", "linear probe"
LOGPROB_MEAN, LOGPROB_MIN = "mean log-probability", "minimum log-probability"
VALID, ANSWER = CHANNELS.index("valid"), CHANNELS.index("answer")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Steps (n) and chains (m) with the truth.

    step_scores and chain_scores: by detector, higher is better, (n,) and (m,); confidence: the head's
    calibrated channels (n, K); step_labels (n, K); is_answer (n,); step_problem (n,); problem, answer,
    family, level (m,); chain_confidence: the answer channel at the last step, fast: by the calibrator of
    greedy chains, (m,).
    """

    step_scores: Mapping[str, Array]
    chain_scores: Mapping[str, Array]
    confidence: Array
    step_labels: Array
    is_answer: NDArray[np.bool_]
    step_problem: NDArray[np.int64]
    problem: NDArray[np.int64]
    answer: Array
    family: NDArray[np.str_]
    level: NDArray[np.str_]
    chain_confidence: Array
    fast: Array


def score_chains(head: Head, baselines: Baselines, sampled: Iterable[Sampled]) -> Scored:
    """Judge every chain that has text, one after the other."""
    step_rows: list[tuple[Array, ...]] = []
    chain_rows: list[tuple[float | str, ...]] = []
    chain_scores: list[list[float]] = []
    names: list[str] = []
    for one in sampled:
        if not one.chain.steps:
            continue
        logits = logits_of(head, baselines, one)
        features = features_of(head, one, logits[HEAD])
        confidence = confidences_of(head, one, features)
        steps = one.chain.steps
        scores = {name: values[:, VALID] for name, values in logits.items()}
        scores[LOGPROB_MEAN] = np.array([step.logprob_mean for step in steps])
        scores[LOGPROB_MIN] = np.array([step.logprob_min for step in steps])
        names = list(scores)
        labels = [
            (label.valid, label.sound, one.labels.answer, label.is_answer, one.problem_index)
            for label in one.labels.steps
        ]
        step_rows.append(
            (np.stack(list(scores.values()), axis=1), confidence, np.array(labels, dtype=np.float64))
        )
        answers = [float(values[-1, ANSWER]) for values in logits.values()]
        chain_scores.append([*answers, logprob_mean(steps), min(step.logprob_min for step in steps)])
        fast = calibrate(head.spec.calibration["fast"], features[-1])
        told = (one.problem.family, one.problem.level)
        chain_rows.append((one.problem_index, one.labels.answer, confidence[-1, ANSWER], fast, *told))
    per_step, confidences, truths = (np.concatenate(part) for part in zip(*step_rows, strict=True))
    columns = list(zip(*chain_rows, strict=True))
    per_chain = np.array(chain_scores)
    return Scored(
        step_scores={name: per_step[:, k] for k, name in enumerate(names)},
        chain_scores={name: per_chain[:, k] for k, name in enumerate(names)},
        confidence=confidences,
        step_labels=truths[:, :3],
        is_answer=truths[:, 3] > 0,
        step_problem=truths[:, 4].astype(np.int64),
        problem=np.array(columns[0], dtype=np.int64),
        answer=np.array(columns[1], dtype=np.float64),
        chain_confidence=np.array(columns[2], dtype=np.float64),
        fast=np.array(columns[3], dtype=np.float64),
        family=np.array(columns[4]),
        level=np.array(columns[5]),
    )


def logits_of(head: Head, baselines: Baselines, one: Sampled) -> dict[str, Array]:
    """Raw channel logits (n_steps, K) of the head first, then of every fitted rival."""
    recorder = one.recorder
    logits: dict[str, Array] = {}
    for name, rival in ({HEAD: head} | baselines.heads).items():
        features = recorder.features_for(rival.spec.statistics)
        logits[name] = step_logits(rival, recorder.hidden, features, recorder.step_ends).astype(np.float64)
    if baselines.probe is not None:
        states = np.stack([recorder.hidden[end] for end in recorder.step_ends]).astype(np.float64)
        logits[PROBE] = baselines.probe.logits(states)
    return logits
