"""Sampled and checked chains, seen exactly as the shipped runtime sees them: through llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mch_runtime.head.fit import TraceSet
from mch_runtime.options import SamplingOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.session import FloatArray, Session
from mch_runtime.statistics import FEATURE_NAMES, TokenStatistics, feature_row
from mch_runtime.strategies.chain import Chain, start_chains, write_chains
from prompts.dialects import shipped
from training.families import FAMILIES
from training.problems import ChainLabels, Problem

MAX_TOKENS = 160


class Recorder:
    """A chain's witness that writes down what a head would see."""

    def __init__(self) -> None:
        self.hidden: list[np.ndarray] = []
        self.features: list[FloatArray] = []
        self.step_ends: list[int] = []

    def push(self, hidden: FloatArray, statistics: TokenStatistics | None) -> None:
        self.hidden.append(hidden.astype(np.float16))
        self.features.append(feature_row(statistics, FEATURE_NAMES))

    def judge(self) -> None:
        self.step_ends.append(len(self.hidden) - 1)


@dataclass(frozen=True)
class Sampled:
    """One chain of a problem, with its labels and what the head sees of it."""

    problem: Problem
    problem_index: int
    chain: Chain
    recorder: Recorder
    labels: ChainLabels


def sample(
    session: Session,
    problems: Iterator[Problem],
    *,
    count: int,
    chains: int,
    sampling: SamplingOptions,
    rows: int,
) -> Iterator[Sampled]:
    """``chains`` chains of each of ``count`` problems, ``rows`` decoded at a time, in order."""
    seed = sampling.seed or 0
    per_batch = max(1, rows // chains)
    for first in range(0, count, per_batch):
        batch = list(islice(problems, min(per_batch, count - first)))
        yield from _batch(session, batch, first, chains, sampling, seed)


def _batch(
    session: Session, batch: Sequence[Problem], first: int, chains: int, sampling: SamplingOptions, seed: int
) -> Iterator[Sampled]:
    dialect = shipped()["sage-pico"]
    with ExitStack() as stack:
        prompts: list[tuple[list[int], list[Chain]]] = []
        recorders: dict[int, Recorder] = {}
        for offset, problem in enumerate(batch):
            message = [{"role": "user", "content": problem.question}]
            group = []
            for k in range(chains):
                recorder = Recorder()
                chain_seed = seed + 1 + (first + offset) * chains + k
                sampler = stack.enter_context(session.sampler(sampling, seed=chain_seed))
                chain = Chain(session.vocabulary, sampler, max_tokens=MAX_TOKENS, witness=recorder)
                recorders[id(chain)] = recorder
                group.append(chain)
            prompts.append((make_prompt(session.vocabulary, dialect, message).token_ids, group))
        write_chains(session, start_chains(session, stack, prompts))
    for offset, (problem, (_, group)) in enumerate(zip(batch, prompts, strict=True)):
        for chain in group:
            labels = FAMILIES[problem.family].judge(problem, [step.text for step in chain.steps])
            yield Sampled(problem, first + offset, chain, recorders[id(chain)], labels)


def trace_set(sampled: Iterator[Sampled]) -> TraceSet:
    """Sampled chains as the flat arrays a head is fitted on."""
    hidden: list[np.ndarray] = []
    features: list[np.ndarray] = []
    lengths: list[int] = []
    problems: list[int] = []
    steps: list[tuple[int, int, bool, bool, bool, bool]] = []
    for index, one in enumerate(sampled):
        hidden.append(np.stack(one.recorder.hidden))
        features.append(np.stack(one.recorder.features))
        lengths.append(len(one.recorder.hidden))
        problems.append(one.problem_index)
        for end, label in zip(one.recorder.step_ends, one.labels.steps, strict=True):
            steps.append((index, end, label.valid, label.sound, one.labels.answer, label.is_answer))
    table = np.array(steps, dtype=np.int64)
    return TraceSet(
        hidden=np.concatenate(hidden),
        features=np.concatenate(features),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        problems=np.array(problems, dtype=np.int64),
        step_chains=table[:, 0],
        step_ends=table[:, 1],
        labels=table[:, 2:5].astype(np.float32),
        is_answer=table[:, 5].astype(bool),
    )


def save(traces: TraceSet, path: Path) -> None:
    """Write atomically, so that a stage that finds the file need not make it again."""
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **vars(traces))
    partial.replace(path)


def load(path: Path) -> TraceSet:
    with np.load(path) as stored:
        return TraceSet(**{name: stored[name] for name in stored.files})
