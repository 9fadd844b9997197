"""What a head is worth: its ranking and calibration on questions that it was neither fitted nor calibrated on.

Beside it stands the mean log-probability of the same tokens, which costs nothing. A head that does not rank
answers better than that is of no use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import NothingLearnedError
from mch_runtime.evaluation.metrics import Array, Estimate, brier, ece, ece_floor
from mch_runtime.evaluation.ranking import rank
from mch_runtime.fitting.curves import chain_logits, told
from mch_runtime.head.confidence import calibrate, channel_confidences
from mch_runtime.head.fit import CHANNELS, TraceSet
from mch_runtime.head.spec import Head

HEAD, LOGPROB = "head", "mean log-probability"
VALID, ANSWER = CHANNELS.index("valid"), CHANNELS.index("answer")
FEWEST = 20  # right ones and wrong ones, without which nothing can be said
FEWEST_GREEDY = 5  # one number is calibrated on these, and no more is asked of them


@dataclass(frozen=True, kw_only=True)
class Compared:
    """AUROC of the head, and of the mean log-probability, with 95 % intervals over questions.

    difference: the head's minus the other's on the same rows. n: rows; wrong: those of them that are wrong.
    """

    head: Estimate
    logprob: Estimate
    difference: Estimate
    n: int
    wrong: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """ece: over ten bins; floor: what a perfect score of this distribution would show. n: rows; right: their share."""

    ece: float
    floor: float
    brier: float
    n: int
    right: float


@dataclass(frozen=True, kw_only=True)
class Quality:
    """answers: per chain, by the ``answer`` channel at its end. steps: by ``valid``, per step, answer lines left out;
    None where too few are known. sampled: the answer channel's calibration; fast: that of greedy answers.
    """

    questions: int
    answers: Compared
    steps: Compared | None
    sampled: Calibration
    fast: Calibration

    @property
    def plain(self) -> dict[str, float | int]:
        """As a head's provenance has it."""
        figures: dict[str, float | int] = {"test_questions": self.questions}
        for name, found in (("answer", self.answers), ("valid", self.steps)):
            if found is not None:
                figures |= _plain(name, found)
        for name, known in (("answer", self.sampled), ("fast", self.fast)):
            figures |= {
                f"test_{name}_ece": round(known.ece, 4),
                f"test_{name}_ece_floor": round(known.floor, 4),
                f"test_{name}_brier": round(known.brier, 4),
                f"test_{name}_calibration_n": known.n,
            }
        return figures


def _plain(name: str, found: Compared) -> dict[str, float | int]:
    return {
        f"test_{name}_n": found.n,
        f"test_{name}_wrong": found.wrong,
        f"test_{name}_auroc": round(found.head.value, 4),
        f"test_{name}_auroc_low": round(found.head.low, 4),
        f"test_{name}_auroc_high": round(found.head.high, 4),
        f"test_{name}_auroc_logprob": round(found.logprob.value, 4),
        f"test_{name}_gain_low": round(found.difference.low, 4),
        f"test_{name}_gain_high": round(found.difference.high, 4),
    }


def measure(
    head: Head,
    test: TraceSet,
    greedy: TraceSet,
    logprobs: Sequence[float],
    *,
    seed: int = 0,
) -> Quality:
    """The head on sampled and on greedy chains. logprobs: (n_steps,) the mean of each step of ``test``, nats."""
    rng = np.random.default_rng(seed)
    logits = chain_logits(head, test)
    steps = np.asarray(logprobs, dtype=np.float64)
    last = test.last_steps
    answers = _compared(
        logits[last, ANSWER], chain_means(test, steps), test.labels[last, ANSWER], test.problems, rng
    )
    known = np.isfinite(test.labels[:, VALID]) & ~test.is_answer
    labels = test.labels[known, VALID]
    enough = min(int((labels > 0.5).sum()), int((labels <= 0.5).sum())) >= FEWEST
    at_end = [row for row, ends in zip(told(head, test), last, strict=True) if ends]
    confidence = np.array([channel_confidences(head.spec, row, ended=True)["answer"] for row in at_end])
    spoken = [row for row, ends in zip(told(head, greedy), greedy.last_steps, strict=True) if ends]
    fast = np.array([calibrate(head.spec.calibration["fast"], row) for row in spoken])
    return Quality(
        questions=len(np.unique(test.problems)),
        answers=answers,
        steps=_compared(
            logits[known, VALID], steps[known], labels, test.problems[test.step_chains[known]], rng
        )
        if enough
        else None,
        sampled=_calibration(confidence, test.labels[last, ANSWER], rng),
        fast=_calibration(fast, greedy.labels[greedy.last_steps, ANSWER], rng),
    )


def require_better(quality: Quality) -> None:
    """Raises NothingLearnedError if the head does not rank answers better than log-probability, beyond chance."""
    found = quality.answers
    if found.difference.low > 0:
        return
    raise NothingLearnedError(
        f"the head is no better than the mean log-probability: AUROC {found.head} against {found.logprob}, "
        f"difference {found.difference}, on {found.n:,} chains for {quality.questions:,} questions set aside",
        hint="more questions may help, if the model gets some of them right and some wrong; nothing was written",
    )


def require_both(sets: Mapping[str, TraceSet]) -> None:
    """Raises NothingLearnedError where a set has too few right chains or too few wrong ones to say anything."""
    for name, traces in sets.items():
        answers = traces.labels[traces.last_steps, ANSWER] > 0.5
        right, wrong = int(answers.sum()), int((~answers).sum())
        part, _, greedy = name.partition("-")
        needed = FEWEST_GREEDY if greedy else FEWEST
        if min(right, wrong) < needed:
            raise NothingLearnedError(
                f"there is too little to learn from: of the {greedy or 'sampled'} chains to {part} with {right:,} are right and "
                f"{wrong:,} are wrong, and at least {needed} of each are needed",
                hint="take more questions, or easier ones"
                if right < wrong
                else "take more questions, or harder ones",
            )


def _compared(
    head: Array,
    logprob: Array,
    labels: NDArray[np.float32],
    problems: NDArray[np.int64],
    rng: np.random.Generator,
) -> Compared:
    ranking = rank({HEAD: head, LOGPROB: logprob}, labels.astype(np.float64), problems, rng=rng)
    difference, _ = ranking.difference(HEAD, LOGPROB)
    return Compared(
        head=ranking.estimate(HEAD),
        logprob=ranking.estimate(LOGPROB),
        difference=difference,
        n=len(labels),
        wrong=int((labels <= 0.5).sum()),
    )


def chain_means(traces: TraceSet, logprobs: Array) -> Array:
    """The mean log-probability of each chain's tokens (n_chains,), from that of its steps."""
    first = np.append(True, traces.last_steps[:-1])
    before = np.where(first, 0, np.append(0, traces.step_ends[:-1]))
    lengths = (traces.step_ends - before).astype(np.float64)
    sums = np.bincount(traces.step_chains, lengths * logprobs)
    return np.asarray(sums / np.bincount(traces.step_chains, lengths))


def _calibration(confidence: Array, labels: NDArray[np.float32], rng: np.random.Generator) -> Calibration:
    right = labels.astype(np.float64)
    return Calibration(
        ece=ece(confidence, right),
        floor=ece_floor(confidence, rng=rng),
        brier=brier(confidence, right),
        n=len(right),
        right=float(right.mean()),
    )
