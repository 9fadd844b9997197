"""Sampled and checked chains, seen exactly as the shipped runtime sees them: through llama.cpp.

A set of chains is two files: ``NAME.npz`` with labels and statistics, and ``NAME.hidden`` with the raw hidden
states, which are written as they come and mapped, not loaded, because they may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mch_runtime.chain import Chain, start_chains, write_chains
from mch_runtime.head.fit import TraceSet
from mch_runtime.options import SamplingOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.session import FloatArray, Session
from mch_runtime.statistics import FEATURE_NAMES, FeatureTrack, TokenStatistics
from prompts.dialects import shipped
from training.families import FAMILIES
from training.problems import ChainLabels, Problem

MAX_TOKENS = 400  # twice the longest solution: a model that runs in circles must end


class Recorder:
    """A chain's witness that writes down what a head would see.

    hidden: (d,) float16 of every token; features: (n_s,), all of FEATURE_NAMES.
    """

    def __init__(self) -> None:
        self.hidden: list[np.ndarray] = []
        self.features: list[FloatArray] = []
        self.step_ends: list[int] = []
        self._track = FeatureTrack(FEATURE_NAMES)

    def push(self, hidden: FloatArray, statistics: TokenStatistics | None) -> None:
        self.hidden.append(hidden.astype(np.float16))
        self.features.append(self._track.push(statistics))

    def judge(self) -> None:
        self.step_ends.append(len(self.hidden) - 1)
        self._track.end_step()

    def features_for(self, names: Sequence[str]) -> np.ndarray:
        """The named features, (n_tokens, len(names))."""
        return np.stack(self.features)[:, [FEATURE_NAMES.index(name) for name in names]]


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


@dataclass(frozen=True)
class ProblemTable:
    """What the problems of a set are, each (n_problems,); a trace set's ``problems`` are places in it."""

    family: NDArray[np.str_]
    level: NDArray[np.str_]
    kind: NDArray[np.str_]
    steps: NDArray[np.int64]


def record(sampled: Iterable[Sampled], path: Path) -> TraceSet:
    """Write chains to ``path`` (.npz, and .hidden beside it) as they come; a chain without text is left out.

    The .npz comes last and at once, so that a stage that finds it need not make it again.
    """
    features: list[np.ndarray] = []
    lengths, problems = [0], list[int]()
    steps: list[tuple[int, int, bool, bool, bool, bool]] = []
    rows: list[tuple[str, str, str, int]] = []
    partial = path.with_suffix(".partial")
    with path.with_suffix(".hidden").open("wb") as hidden:
        for one in sampled:
            if len(rows) <= one.problem_index:
                rows.append((one.problem.family, one.problem.level, one.problem.kind, len(one.problem.steps)))
            if not one.labels.steps:
                continue
            np.stack(one.recorder.hidden).tofile(hidden)
            features.append(np.stack(one.recorder.features))
            for end, label in zip(one.recorder.step_ends, one.labels.steps, strict=True):
                truth = (label.valid, label.sound, one.labels.answer, label.is_answer)
                steps.append((len(problems), end, *truth))
            lengths.append(len(one.recorder.hidden))
            problems.append(one.problem_index)
    table = np.array(steps, dtype=np.int64)
    arrays = {
        "features": np.concatenate(features),
        "starts": np.cumsum(lengths),
        "problems": np.array(problems),
        "step_chains": table[:, 0],
        "step_ends": table[:, 1],
        "labels": table[:, 2:5].astype(np.float32),
        "is_answer": table[:, 5].astype(bool),
    }
    columns = zip(_COLUMNS, zip(*rows, strict=True), strict=True)
    arrays |= {f"problem_{name}": np.array(column) for name, column in columns}
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)
    return load(path)


_COLUMNS = tuple(ProblemTable.__dataclass_fields__)


def load(path: Path) -> TraceSet:
    """The chains that ``record`` wrote; their hidden states stay on disk."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if not name.startswith("problem_")}
    tokens = int(arrays["starts"][-1])
    hidden = np.memmap(path.with_suffix(".hidden"), dtype=np.float16, mode="r").reshape(tokens, -1)
    return TraceSet(hidden=hidden, **arrays)


def load_problems(path: Path) -> ProblemTable:
    """What the problems of these chains are."""
    with np.load(path) as stored:
        return ProblemTable(*(stored[f"problem_{name}"] for name in _COLUMNS))
