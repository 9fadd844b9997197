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
from mch_runtime.fitting.seen import Labelled, Seen, flat, seen_of
from mch_runtime.head.fit import TraceSet
from mch_runtime.options import SamplingOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.session import Session
from prompts.dialects import shipped
from training.families import FAMILIES
from training.problems import ChainLabels, Problem

MAX_TOKENS = 400  # twice the longest solution: a model that runs in circles must end


@dataclass(frozen=True)
class Sampled:
    """One chain of a problem, with its labels and what the head sees of it."""

    problem: Problem
    problem_index: int
    chain: Chain
    recorder: Seen
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
        for offset, problem in enumerate(batch):
            message = [{"role": "user", "content": problem.question}]
            group = []
            for k in range(chains):
                chain_seed = seed + 1 + (first + offset) * chains + k
                sampler = stack.enter_context(session.sampler(sampling, seed=chain_seed))
                group.append(Chain(session.vocabulary, sampler, max_tokens=MAX_TOKENS, keep_states=True))
            prompts.append((make_prompt(session.vocabulary, dialect, message).token_ids, group))
        write_chains(session, start_chains(session, stack, prompts))
    for offset, (problem, (_, group)) in enumerate(zip(batch, prompts, strict=True)):
        for chain in group:
            labels = FAMILIES[problem.family].judge(problem, [step.text for step in chain.steps])
            yield Sampled(problem, first + offset, chain, seen_of(chain), labels)


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
    chains: list[Labelled] = []
    rows: list[tuple[str, str, str, int]] = []
    partial = path.with_suffix(".partial")
    with path.with_suffix(".hidden").open("wb") as hidden:
        for one in sampled:
            if len(rows) <= one.problem_index:
                rows.append((one.problem.family, one.problem.level, one.problem.kind, len(one.problem.steps)))
            if not one.labels.steps:
                continue
            one.recorder.hidden.tofile(hidden)
            features.append(one.recorder.features)
            chains.append(_labelled(one))
    arrays = {**flat(chains), "features": np.concatenate(features)}
    columns = zip(_COLUMNS, zip(*rows, strict=True), strict=True)
    arrays |= {f"problem_{name}": np.array(column) for name, column in columns}
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)
    return load(path)


def _labelled(one: Sampled) -> Labelled:
    steps = one.labels.steps
    return Labelled(
        problem=one.problem_index,
        tokens=len(one.recorder.hidden),
        step_ends=one.recorder.step_ends,
        labels=[(label.valid, label.sound, one.labels.answer) for label in steps],
        is_answer=[label.is_answer for label in steps],
    )


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
