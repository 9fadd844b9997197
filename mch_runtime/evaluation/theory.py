"""What SAGE-32B's section 5 predicts, beside what was measured.

The paper's formulas did not survive in the texts that are public; the definitions here are ours, after its words.

* Reliability by length (equation 8): a chain of T steps is right with (1 - e)^T.
* Effective error (equation 9): a detector with a sensitivity s and a specificity c has flagged chains written anew,
  e' = e (1 - s) + (e s + (1 - e) (1 - c)) e_r, if second chains fail independently with e_r.
* Cost of the hybrid (lemma 1): C = (1 - r) C_fast + r C_think, for a share r that is switched.
* Information bound (theorem 5.1): by Fano's inequality answers are wrong with at least (K - I - 1) / log2 A,
  where K is the entropy of the right answers in bits, A how many there are, and I what the reasoning tells about the question.
* Reasoning bits per TFLOP (appendix E): what an answer tells about the right one, per 10^12 operations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mch_runtime.evaluation.metrics import Array, Estimate, wilson
from mch_runtime.evaluation.rows import Row
from mch_runtime.evaluation.samples import Sample

DOUBTED = 0.5  # chains whose answer the head finds less likely right than this are written anew
QUARTERS = 4
FEWEST = 8  # problems or chains that a prediction is compared on


@dataclass(frozen=True)
class Length:
    """Chains of ``steps`` steps: measured, by one error rate for all lengths, and by the head's valid steps."""

    steps: int
    count: int
    measured: Estimate
    predicted: float
    by_head: float | None


@dataclass(frozen=True)
class EffectiveError:
    """error: of a first chain; second_error: of a second one; predicted and measured: after writing anew."""

    error: float
    sensitivity: float
    specificity: float
    second_error: float
    predicted: float
    measured: Estimate
    count: int

    @property
    def helps(self) -> bool:
        """Whether flags tell right from wrong at all: sensitivity > 1 - specificity."""
        return self.sensitivity > 1 - self.specificity


@dataclass(frozen=True)
class HybridCost:
    """Tokens for a problem. switched: the share of problems that left fast mode."""

    switched: float
    predicted: float
    measured: float


@dataclass(frozen=True)
class InformationBand:
    """A quarter of the sampled chains by what they tell of the question, bits in the mean."""

    bits: float
    floor: float
    measured: Estimate
    count: int


@dataclass(frozen=True)
class Information:
    """answer_bits: the entropy K of the right answers; answers: how many different ones there are, A."""

    answer_bits: float
    answers: int
    bands: tuple[InformationBand, ...]


@dataclass(frozen=True)
class Theory:
    """None where the samples have nothing to compare. step_error: e of the reliability by length."""

    step_error: float | None
    lengths: tuple[Length, ...]
    effective_error: EffectiveError | None
    hybrid_cost: HybridCost | None
    information: Information | None


def compare(samples: Sequence[Sample], rows: Mapping[str, Row]) -> Theory:
    """All predictions that the samples have data for."""
    error, lengths = by_length(samples)
    return Theory(
        step_error=error,
        lengths=lengths,
        effective_error=effective_error(samples),
        hybrid_cost=hybrid_cost(samples, rows),
        information=information(samples),
    )


def by_length(samples: Sequence[Sample]) -> tuple[float | None, tuple[Length, ...]]:
    """Greedy answers by the steps of the solution, or of the chain where that is not known."""
    fast = [(sample, sample.modes["fast"]) for sample in samples if "fast" in sample.modes]
    if not fast:
        return None, ()
    steps = np.array([max(1, s.problem.depth or answered.steps) for s, answered in fast])
    right = np.array([answered.answer == s.problem.answer for s, answered in fast])
    valid = [None if a.valid is None else math.prod(a.valid) for _, a in fast]
    error = step_error(steps, right)
    lengths = []
    for length in sorted(set(steps.tolist())):
        members = np.flatnonzero(steps == length)
        heads = [value for i in members if (value := valid[i]) is not None]
        lengths.append(
            Length(
                steps=length,
                count=len(members),
                measured=wilson(int(right[members].sum()), len(members)),
                predicted=(1 - error) ** length,
                by_head=sum(heads) / len(heads) if len(heads) == len(members) else None,
            )
        )
    return error, tuple(lengths)


def step_error(steps: np.ndarray, right: np.ndarray) -> float:
    """The rate e that makes the answers likeliest if a chain of T steps is right with (1 - e)^T."""
    if right.all() or not right.any():
        return 0.0 if right.all() else 1.0
    low, high = 1e-9, 1 - 1e-9
    for _ in range(100):  # the slope of the log-likelihood falls from plus to minus
        middle = (low + high) / 2
        chance = (1 - middle) ** steps
        slope = np.where(right, -steps / (1 - middle), steps * chance / ((1 - middle) * (1 - chance))).sum()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return (low + high) / 2


def effective_error(samples: Sequence[Sample]) -> EffectiveError | None:
    """First chains, the head as the detector, second chains in place of those that it doubts."""
    pairs = [
        (chains.scored[0], chains.scored[1], sample.problem.answer)
        for sample in samples
        if (chains := sample.chains) is not None and len(chains.scored) > 1
    ]
    if len(pairs) < FEWEST or any(first.head is None for first, _, _ in pairs):
        return None
    wrong = np.array([first.answer != answer for first, _, answer in pairs])
    second = np.array([other.answer != answer for _, other, answer in pairs])
    flagged = np.array([(first.head or 0.0) < DOUBTED for first, _, _ in pairs])
    if not 0 < wrong.sum() < len(wrong):
        return None
    error, again = float(wrong.mean()), float(second.mean())
    sensitivity, specificity = float(flagged[wrong].mean()), float((~flagged)[~wrong].mean())
    rewritten = error * sensitivity + (1 - error) * (1 - specificity)
    after = np.where(flagged, second, wrong)
    return EffectiveError(
        error=error,
        sensitivity=sensitivity,
        specificity=specificity,
        second_error=again,
        predicted=error * (1 - sensitivity) + rewritten * again,
        measured=wilson(int(after.sum()), len(after)),
        count=len(pairs),
    )


def hybrid_cost(samples: Sequence[Sample], rows: Mapping[str, Row]) -> HybridCost | None:
    """Where fast, think and auto were all asked."""
    if not {"fast", "think", "auto"} <= set(rows):
        return None
    switched = float(np.mean([sample.modes["auto"].escalations > 0 for sample in samples]))
    fast, think = float(rows["fast"].tokens.mean()), float(rows["think"].tokens.mean())
    return HybridCost(
        switched=switched,
        predicted=(1 - switched) * fast + switched * think,
        measured=float(rows["auto"].tokens.mean()),
    )


def information(samples: Sequence[Sample]) -> Information | None:
    """All sampled chains, in quarters by what they tell of their question."""
    bits: list[float] = []
    wrong: list[bool] = []
    for sample in samples:
        if sample.chains is None or not sample.chains.question_tokens:
            continue
        for chain in sample.chains.scored:
            if chain.ics is not None:
                bits.append(chain.ics * sample.chains.question_tokens / math.log(2))
                wrong.append(chain.answer != sample.problem.answer)
    if len(bits) < QUARTERS * FEWEST:
        return None
    entropy, answers = answer_entropy([sample.problem.answer for sample in samples])
    told, errors = np.array(bits), np.array(wrong)
    bands = []
    for part in np.array_split(np.argsort(told, kind="stable"), QUARTERS):
        mean = float(told[part].mean())
        measured = wilson(int(errors[part].sum()), len(part))
        bands.append(InformationBand(mean, fano_floor(entropy, mean, answers), measured, len(part)))
    return Information(entropy, answers, tuple(bands))


def fano_floor(entropy: float, bits: float, answers: int) -> float:
    """The least error with which one of ``answers`` of that entropy can be told from ``bits``; 0 where it says nothing."""
    told = max(0.0, bits)  # an estimate may be below 0, what is told cannot
    return max(0.0, (entropy - told - 1) / math.log2(answers)) if answers > 1 else 0.0


def answer_entropy(answers: Sequence[str]) -> tuple[float, int]:
    """In bits, and the number of different answers."""
    counts = np.array(list(Counter(answers).values()), dtype=np.float64)
    shares: Array = counts / counts.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum())), len(counts)


def answer_bits(accuracy: float, answers: int) -> float:
    """What an answer tells about the right one of ``answers`` equally likely ones, wrong ones being alike, in bits."""
    if answers < 2:
        return 0.0
    bits = math.log2(answers)
    if accuracy > 0:
        bits += accuracy * math.log2(accuracy)
    if accuracy < 1:
        bits += (1 - accuracy) * math.log2((1 - accuracy) / (answers - 1))
    return bits if accuracy > 1 / answers else 0.0


def bits_per_tflop(accuracy: float, answers: int, *, tokens: float, parameters: int) -> float:
    """Two operations per parameter and token; attention over the context is left out."""
    return answer_bits(accuracy, answers) / (2 * parameters * tokens / 1e12)
