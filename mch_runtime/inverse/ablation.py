"""What a step loses when something before it is taken away: its text, scored without that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mch_runtime.inverse.reading import Read
from mch_runtime.inverse.scoring import Job, score
from mch_runtime.session import FloatArray, Session

Span = tuple[int, int]


@dataclass(frozen=True)
class Ablation:
    """Stretches of prompt and chain that are left out, and up to where the rest is scored.

    removed: [start, end), not empty, disjoint and in order; until: a place behind all of them.
    """

    removed: tuple[Span, ...]
    until: int


def ablate(session: Session, read: Read, ablations: Sequence[Ablation]) -> list[FloatArray]:
    """For each ablation, the nats (n,) that each of the chain's n tokens loses by it.

    Positive where the token becomes less likely, nan where it is not scored. All ablations share one batch, or as few
    as there is room for, and each shares with the chain what comes before its first stretch.
    """
    token_ids = [*read.prompt.token_ids, *read.token_ids]
    chain = len(read.prompt.token_ids)
    jobs, kept = [], []
    for ablation in ablations:
        left = [i for i in range(ablation.until) if not _within(i, ablation.removed)]
        # The row before the first scored token has to be read here: one token less is shared.
        shared = max(0, ablation.removed[0][0] - 1)
        first = max(chain, ablation.removed[0][1])
        scored = [i for i in left if i >= first]
        rest = left[shared:]
        jobs.append(
            Job(
                parent=read.branch,
                length=shared,
                token_ids=[token_ids[i] for i in rest],
                first=len(rest) - len(scored),
            )
        )
        kept.append([i - chain for i in scored])
    before = np.array([statistics.logprob for statistics in read.statistics])
    losses = []
    for scores, places in zip(score(session, jobs), kept, strict=True):
        lost = np.full(len(before), np.nan, dtype=np.float32)
        lost[places] = before[places] - scores.logprobs
        losses.append(lost)
    return losses


def mean_loss(lost: FloatArray) -> float:
    """Nats per token, a token that gained counted as one that lost nothing."""
    return float(np.maximum(lost, 0.0).mean()) if lost.size else 0.0


def _within(place: int, spans: Iterable[Span]) -> bool:
    return any(start <= place < end for start, end in spans)
