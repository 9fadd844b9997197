"""The embedded model on held-out problems, through llama.cpp and the numpy head as users get them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.greedy import logprob_mean
from benchmarks.judged import confidences_of, features_of
from mch_runtime.head.confidence import calibrate
from mch_runtime.head.fit import CHANNELS
from mch_runtime.head.network import step_logits
from mch_runtime.head.spec import Head
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.loading import fit_head
from mch_runtime.options import EngineOptions, SamplingOptions
from mch_runtime.session import Interrupt, Session
from sage_cli import assets
from training.curriculum import Mixture, problems
from training.problems import Problem
from training.traces import Sampled, sample

ROWS = 16
CTX_OF_ONE = 640  # tokens of question and chain together
ANSWER = CHANNELS.index("answer")


@contextmanager
def shipped_model(path: Path | None = None, *, force_head: bool = False) -> Iterator[tuple[Session, Head]]:
    """A session on a GGUF with head (the embedded one) with room for ROWS chains.

    force_head: also where the head does not fit, as after a coarse quantization.
    """
    options = replace(_options(path), force_head=force_head)
    with open_model(options.model) as model, open_session(model, options, Interrupt()) as session:
        found = fit_head(model, session, options)
        assert found.head is not None
        yield session, found.head


@contextmanager
def bare_model(path: Path | None = None) -> Iterator[Session]:
    """The same without a head, and without asking for one."""
    options = _options(path)
    with open_model(options.model) as model, open_session(model, options, Interrupt()) as session:
        yield session


def _options(path: Path | None) -> EngineOptions:
    return EngineOptions(model=path or assets.DEFAULT_MODEL, max_sequences=ROWS, ctx_size=CTX_OF_ONE * ROWS)


def chains(
    session: Session,
    *,
    count: int,
    per_problem: int,
    temperature: float,
    seed: int,
    unseen_wording: bool = False,
    mixture: Mixture | None = None,
) -> Iterator[Sampled]:
    """Chains for ``count`` problems of the test split, none of them twice."""
    stream = problems(mixture or Mixture(), split_name="test", seed=seed, unseen_wording=unseen_wording)
    chosen = islice(_distinct(stream), count)
    yield from chains_of(
        session, chosen, count=count, per_problem=per_problem, temperature=temperature, seed=seed
    )


def chains_of(
    session: Session,
    chosen: Iterable[Problem],
    *,
    count: int,
    per_problem: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> Iterator[Sampled]:
    """``per_problem`` chains for each of the first ``count`` of given problems; nothing but temperature."""
    sampling = SamplingOptions(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
    yield from sample(
        session,
        iter(chosen),
        count=count,
        chains=per_problem,
        sampling=sampling,
        rows=ROWS,
    )


def _distinct(stream: Iterator[Problem]) -> Iterator[Problem]:
    seen: set[str] = set()
    for problem in stream:
        if problem.question not in seen:
            seen.add(problem.question)
            yield problem


@dataclass(frozen=True)
class Scores:
    """What head and log-probabilities say of steps and chains, with the truth.

    steps: (n, 3) calibrated channels; step_labels (n, 3); is_answer (n,); step_logprob_mean and
    step_logprob_min (n,); step_chain (n,); chain_problem (m,); chain_answer (m,) labels;
    chain_confidence, by the answer channel, and chain_fast, by the calibrator of greedy chains, (m,);
    chain_logprob_mean and chain_logprob_min (m,).
    """

    steps: np.ndarray
    step_labels: np.ndarray
    is_answer: np.ndarray
    step_logprob_mean: np.ndarray
    step_logprob_min: np.ndarray
    step_chain: np.ndarray
    chain_problem: np.ndarray
    chain_answer: np.ndarray
    chain_confidence: np.ndarray
    chain_fast: np.ndarray
    chain_logprob_mean: np.ndarray
    chain_logprob_min: np.ndarray


def score(head: Head, sampled: Iterator[Sampled]) -> Scores:
    """Run the numpy head over recorded chains; one without any text is left out."""
    step_rows: list[tuple[float, ...]] = []
    confidences: list[np.ndarray] = []
    chain_rows: list[tuple[float, ...]] = []
    for index, one in enumerate(one for one in sampled if one.chain.steps):
        features = one.recorder.features_for(head.spec.statistics)
        logits = step_logits(head, one.recorder.hidden, features, one.recorder.step_ends)
        told = features_of(head, one, logits)
        channels = list(confidences_of(head, one, told))
        confidences += channels
        right = one.labels.answer
        for label, step in zip(one.labels.steps, one.chain.steps, strict=True):
            truth = (label.valid, label.sound, right, label.is_answer)
            step_rows.append((index, *truth, step.logprob_mean, step.logprob_min))
        fast = calibrate(head.spec.calibration["fast"], told[-1])
        logprobs = (logprob_mean(one.chain.steps), min(s.logprob_min for s in one.chain.steps))
        chain_rows.append((one.problem_index, right, channels[-1][ANSWER], fast, *logprobs))
    steps, whole = np.array(step_rows, dtype=np.float64), np.array(chain_rows, dtype=np.float64)
    return Scores(
        steps=np.array(confidences),
        step_labels=steps[:, 1:4],
        is_answer=steps[:, 4] > 0,
        step_logprob_mean=steps[:, 5],
        step_logprob_min=steps[:, 6],
        step_chain=steps[:, 0].astype(np.int64),
        chain_problem=whole[:, 0].astype(np.int64),
        chain_answer=whole[:, 1],
        chain_confidence=whole[:, 2],
        chain_fast=whole[:, 3],
        chain_logprob_mean=whole[:, 4],
        chain_logprob_min=whole[:, 5],
    )
