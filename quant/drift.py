"""How far a head's confidences move when the model below it is another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mch_runtime.chain import Chain
from mch_runtime.evaluation.metrics import auroc, ece
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.session import FloatArray, Session
from mch_runtime.statistics import TokenStatistics, token_statistics
from mch_runtime.trace import Step
from quant.divergence import Piece
from quant.measure import Measure, mean
from quant.texts import Document

_SOUND = "sound"
MODE = "fast"


@dataclass(frozen=True)
class Judged:
    """What a head said of a chain. steps: the ``sound`` channel after each; answer: of the answer, or None."""

    steps: tuple[float, ...]
    answer: float | None


@dataclass(frozen=True, kw_only=True)
class HeadDrift:
    """steps: mean absolute difference of the confidence of steps; answers: of answers; None without any.

    auroc and ece: of the confidence in the answer, of both models, None unless chains are labelled and some are
    right and some wrong.
    """

    chains: int
    labelled: int
    steps: Measure | None
    answers: Measure | None
    auroc: tuple[float, float] | None
    ece: tuple[float, float] | None


class ChainReader:
    """Collects what a head needs of one chain, piece by piece."""

    def __init__(self, session: Session, document: Document) -> None:
        self._vocabulary = session.vocabulary
        self._token_ids = document.token_ids[document.first :]
        self._statistics: list[TokenStatistics] = []
        self._states: list[FloatArray] = []

    def add(self, piece: Piece) -> None:
        self._states += list(piece.hidden)
        for logits in piece.logits:
            if len(self._statistics) < len(self._token_ids):
                self._statistics.append(token_statistics(logits, self._token_ids[len(self._statistics)]))

    def judge(self, head: Head) -> Judged:
        """The head over the chain, as if the model had just written it."""
        witness = HeadWitness(head, calibrated=lambda: True)
        steps: list[Step] = []
        chain = Chain(
            self._vocabulary,
            _NothingToDraw(),
            max_tokens=len(self._token_ids),
            witness=witness,
            delimiter=head.spec.step_delimiter,
            on_step=steps.append,
        )
        states = np.stack(self._states)
        chain.replay(self._token_ids, self._statistics, states)
        chain.has_read(states[-1])
        channels = [step.confidence for step in steps if step.confidence]
        return Judged(
            tuple(channel.get(_SOUND, min(channel.values())) for channel in channels),
            witness.answer_confidence(MODE) if channels else None,
        )


class _NothingToDraw:
    """A chain that is replayed to its end draws nothing."""

    def sample(self, row: int) -> int:
        raise AssertionError(row)


def head_drift(judged: Sequence[tuple[Judged, Judged]], right: Sequence[bool | None]) -> HeadDrift | None:
    """Of chains as judged over both models; None without chains."""
    if not judged:
        return None
    steps = [
        np.abs(np.subtract(one.steps, other.steps, dtype=np.float64)) for one, other in judged if one.steps
    ]
    answers = [
        (one.answer, other.answer, label)
        for (one, other), label in zip(judged, right, strict=True)
        if one.answer is not None and other.answer is not None
    ]
    labelled = [row for row in answers if row[2] is not None]
    figures = np.array(labelled, dtype=np.float64).reshape(-1, 3)
    labels = figures[:, 2]
    both_kinds = bool(len(labels)) and 0 < labels.sum() < len(labels)
    return HeadDrift(
        chains=len(judged),
        labelled=len(labelled),
        steps=mean(steps) if steps else None,
        answers=mean([np.array([abs(a - b)]) for a, b, _ in answers]) if answers else None,
        auroc=(auroc(figures[:, 0], labels), auroc(figures[:, 1], labels)) if both_kinds else None,
        ece=(ece(figures[:, 0], labels), ece(figures[:, 1], labels)) if len(labels) else None,
    )
