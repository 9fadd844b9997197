"""Sampled chains as arrays, for rules to choose among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mch_runtime.evaluation.samples import Sample, Setup, from_lines
from mch_runtime.evaluation.source import read_rows
from mch_runtime.strategies.selection import LOGIT_LIMIT, Scored, answer_key

Array = NDArray[np.float64]
MEASURES = ("ics", "ics_min", "head", "logprob_sum", "logprob_mean", "bottom_window")


@dataclass(frozen=True)
class ChainSet:
    """N chains of each of P problems.

    answers: (P, N) which chains of a problem say the same, -1 for no answer; right: (P, N); measures: each (P, N), the
    head as a logit; level and steps: (P,); fast: (P,) whether the greedy answer is right; tokens: (P, N).
    """

    answers: NDArray[np.int64]
    right: NDArray[np.bool_]
    measures: Mapping[str, Array]
    tokens: Array
    level: NDArray[np.str_]
    steps: NDArray[np.int64]
    fast: NDArray[np.bool_]
    samples: tuple[Sample, ...]

    def of(self, chosen: NDArray[np.bool_]) -> ChainSet:
        """The problems that are chosen, (P,)."""
        return replace(
            self,
            answers=self.answers[chosen],
            right=self.right[chosen],
            measures={name: values[chosen] for name, values in self.measures.items()},
            tokens=self.tokens[chosen],
            level=self.level[chosen],
            steps=self.steps[chosen],
            fast=self.fast[chosen],
            samples=tuple(one for one, take in zip(self.samples, chosen, strict=True) if take),
        )

    def chains(self, first: int, last: int) -> ChainSet:
        """Some chains of every problem."""
        span = slice(first, last)
        return replace(
            self,
            answers=self.answers[:, span],
            right=self.right[:, span],
            measures={name: values[:, span] for name, values in self.measures.items()},
            tokens=self.tokens[:, span],
        )


def load(path: Path) -> tuple[Setup, ChainSet]:
    """What ``sage eval --samples`` wrote with the modes fast and vote."""
    setup, samples = from_lines((row for _, row in read_rows(path)), path=path)
    kept = tuple(one for one in samples if one.chains is not None)
    scored = [one.chains.scored for one in kept if one.chains is not None]
    truth = [one.problem.answer for one in kept]
    return setup, ChainSet(
        answers=np.array([_groups(chains) for chains in scored]),
        right=np.array([[c.answer == t for c in chains] for chains, t in zip(scored, truth, strict=True)]),
        measures={name: np.array([[_of(c, name) for c in chains] for chains in scored]) for name in MEASURES},
        tokens=np.array([[float(c.tokens) for c in chains] for chains in scored]),
        level=np.array([one.problem.group for one in kept]),
        steps=np.array([one.problem.depth or 0 for one in kept]),
        fast=np.array([one.modes["fast"].answer == one.problem.answer for one in kept]),
        samples=kept,
    )


def _groups(chains: Sequence[Scored]) -> list[int]:
    seen: dict[str, int] = {}
    return [
        -1 if chain.answer is None else seen.setdefault(answer_key(chain.answer), len(seen))
        for chain in chains
    ]


def _of(chain: Scored, name: str) -> float:
    if name == "head":
        p = min(max(chain.head if chain.head is not None else 0.5, 1e-9), 1 - 1e-9)
        return float(np.clip(np.log(p / (1 - p)), -LOGIT_LIMIT, LOGIT_LIMIT))
    value = getattr(chain, name)
    return float(value) if value is not None else np.nan
