"""What a head sees of a chain that has been written, put together for the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mch_runtime.chain import Chain
from mch_runtime.session import FloatArray
from mch_runtime.statistics import FEATURE_NAMES, FeatureTrack, TokenStatistics


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """hidden: (n_tokens, d) float16, the prompt's last token first; features: (n_tokens, n_s), all of FEATURE_NAMES.

    step_ends: the place of every step's last token among them.
    """

    hidden: NDArray[np.float16]
    features: NDArray[np.float32]
    step_ends: list[int]

    def features_for(self, names: Sequence[str]) -> NDArray[np.float32]:
        """The named features, (n_tokens, len(names))."""
        return self.features[:, [FEATURE_NAMES.index(name) for name in names]]


def seen_of(chain: Chain) -> Seen:
    """Of a chain that has kept its states, every token of it read."""
    return seen(chain.states, chain.statistics, [step.tokens[1] for step in chain.steps])


def seen(
    states: Sequence[FloatArray], statistics: Sequence[TokenStatistics], step_ends: Sequence[int]
) -> Seen:
    """states: (d,) each, after the last prompt token and after each of the n tokens; statistics: of the tokens."""
    track, ends = FeatureTrack(FEATURE_NAMES), frozenset(step_ends)
    rows = [track.push(None)]
    for place, token in enumerate(statistics, start=1):
        rows.append(track.push(token))
        if place in ends:
            track.end_step()
    hidden = np.stack(states).astype(np.float16)
    return Seen(hidden=hidden, features=np.stack(rows), step_ends=list(step_ends))


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A chain of ``tokens`` tokens with the truth about its steps.

    problem: which one it answers. labels: (n_steps, 3) in the order of ``head.fit.CHANNELS``, nan where unknown;
    is_answer: (n_steps,).
    """

    problem: int
    tokens: int
    step_ends: Sequence[int]
    labels: Sequence[Sequence[float]]
    is_answer: Sequence[bool]


def flat(chains: Sequence[Labelled]) -> Mapping[str, NDArray[Any]]:
    """The arrays of a :class:`mch_runtime.head.fit.TraceSet` but for ``hidden`` and ``features``."""
    counts = [len(chain.step_ends) for chain in chains]
    labels = [row for chain in chains for row in chain.labels]
    return {
        "starts": np.cumsum([0, *(chain.tokens for chain in chains)]),
        "problems": np.array([chain.problem for chain in chains], dtype=np.int64),
        "step_chains": np.repeat(np.arange(len(chains)), counts),
        "step_ends": np.array([end for chain in chains for end in chain.step_ends], dtype=np.int64),
        "labels": np.array(labels, dtype=np.float32).reshape(-1, 3),
        "is_answer": np.array([flag for chain in chains for flag in chain.is_answer], dtype=bool),
    }
