"""What was measured about why an answer came out as it did. Frozen, plain values.

An explanation holds the trace of the chain it explains, with each step's commitment, verdict and
evidence filled in, and what belongs to the chain as a whole. Log-probabilities, entropies and
information are in nats. A measurement that was not made is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mch_runtime.trace import Trace

Method = Literal["attention", "ablation"]
Source = Literal["question", "step"]


@dataclass(frozen=True, kw_only=True)
class Premise:
    """Something a step rests on: a sentence of the question, or an earlier step.

    step: the step's index; source and index: which sentence of the question, or which earlier step; span:
    [start, end) in the characters of the question, or of the chain's text. attention: the share of the
    step's reversed attention flow that ends there; ablation: how many nats the step's text
    loses when the premise is taken away, per token. agreed: both methods name it.
    """

    step: int
    source: Source
    index: int
    span: tuple[int, int]
    text: str
    attention: float | None = None
    ablation: float | None = None
    agreed: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where a road not taken led: the answer, P(it is right), its inverse consistency and its energy."""

    answer: str | None
    confidence: float | None
    ics: float | None
    energy: float | None


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another token at a decision point, and what came of it.

    text: the token and the rest of its step; probability: of the token; changes: whether the outcome's
    answer is another. why_not: one sentence made of the two roads' numbers.
    """

    text: str
    token_id: int
    probability: float
    outcome: Outcome | None
    changes: bool | None
    why_not: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A place where the model could have gone elsewhere, and where it mattered.

    step: its index; token: place among the chain's tokens; text and probability: of the token taken.
    """

    step: int
    token: int
    text: str
    probability: float
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Whether the question can be reconstructed from the reasoning.

    ics: information the reasoning gives about the question, nats per token of it; control: the
    same with the words of the question shuffled; tokens: the information per token; monotonicity: I(x;
    z_<=t) after each step, in nats per token.
    """

    ics: float
    control: float | None
    tokens: tuple[float, ...]
    monotonicity: tuple[float, ...] | None


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """Whether the named premises are what the steps rest on, beside as many random ones.

    comprehensiveness: nats per token lost without the premises; sufficiency: lost with nothing
    but them (lower is better). answer_follows: share of perturbed steps after which the
    answer changed.
    """

    comprehensiveness: float
    comprehensiveness_random: float
    sufficiency: float
    sufficiency_random: float
    answer_follows: float | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A chain taken apart.

    trace: the chain, its steps with commitment, verdict and evidence. usefulness: for each step, the drop
    in the answer's entropy. sentences: the question's sentences as [start, end) of its characters.
    own: the chain is this model's; another's is scored by teacher forcing, and its confidence is not known.
    words: the model's own words about it, generated, not measured.
    """

    trace: Trace
    own: bool
    sentences: tuple[tuple[int, int], ...]
    usefulness: tuple[float | None, ...]
    consistency: Consistency | None
    decisions: tuple[Decision, ...] | None
    premises: tuple[Premise, ...] | None
    faithfulness: Faithfulness | None
    words: str | None = None
