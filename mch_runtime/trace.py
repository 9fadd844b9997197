"""What was measured about one answer. Frozen, plain values; ``wire.py`` has the JSON form.

A measurement that was not made is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["fast", "vote", "think", "auto"]
Action = Literal["look_ahead", "step_back", "vote"]
FinishReason = Literal["stop", "length", "interrupted"]
Verdict = Literal[
    "valid", "doubtful", "wrong_arithmetic", "contradicts", "unsupported", "inherits_error", "withdrawn"
]


@dataclass(frozen=True, kw_only=True)
class AppliedVector:
    """A control vector that was added to the model's states, times ``scale``. sha256: of its file."""

    file: str
    sha256: str
    scale: float


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Which model answered. head: its name; quantization: its file's type; None where there is none.

    control_vectors: by which it was steered.
    """

    name: str
    file: str
    quantization: str | None
    fingerprint: str
    head: str | None
    control_vectors: tuple[AppliedVector, ...] = ()

    @property
    def steered_by(self) -> frozenset[tuple[str, float]]:
        """What tells one steering from another: sha256 and scale of each vector."""
        return frozenset((vector.sha256, vector.scale) for vector in self.control_vectors)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the reasoning.

    tokens: [start, end) among the generated tokens. Log-probabilities and entropy are in nats.
    confidence: channel name -> calibrated probability; None without a fitting head.
    """

    text: str
    tokens: tuple[int, int]
    logprob_mean: float
    logprob_min: float
    entropy_mean: float
    confidence: Mapping[str, float] | None = None
    commitment: float | None = None
    verdict: Verdict | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Wall-clock time by phase; None for a phase that did not happen."""

    load: float
    prefill: float
    decode: float
    head: float | None = None
    inverse: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Tokens read, written and scored, and the time it took.

    cached_tokens: of the prompt, and of what the answer began with, those that were in the cache and not read again.
    """

    prompt_tokens: int
    generated_tokens: int
    scored_tokens: int
    seconds: Seconds
    tokens_per_second: float
    cached_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sampling that was used; greedy has temperature 0."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float


@dataclass(frozen=True, kw_only=True)
class Vote:
    """The chains of one answer among several.

    answer: None for chains that give none. count: of chains; weight: their share of the weight of all. kept:
    whether they count for the answer; why_dropped: why they do not.
    """

    answer: str | None
    count: int
    weight: float
    kept: bool
    why_dropped: str | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How one chain was chosen among several.

    rule: its name; ics_weight: lambda_i, also of a vote's weight; head_weight: of the ``answer`` channel's logit in
    a vote's weight; sound_weight: lambda_c of a step's energy. share: of the chains that give the answer; weighted_share: of their
    weight; margin: the weighted share less that of the next answer; None where no votes were drawn. chains: how many
    there were to choose from.
    """

    rule: str
    ics_weight: float
    head_weight: float
    sound_weight: float
    chains: int
    share: float | None
    weighted_share: float | None
    margin: float | None


@dataclass(frozen=True, kw_only=True)
class Escalation:
    """A place where more effort was spent than writing on.

    step: index of the step it was about, None for the whole chain. action: what was done; reason: why, in words
    and numbers. before and after: the step's text or the answer; changed: whether it is another one now. what_if:
    where the road leads if the step that was kept fails. tokens: written for it.
    """

    step: int | None
    action: Action
    reason: str
    before: str | None
    after: str | None
    changed: bool
    what_if: str | None
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Trace:
    """An answer with everything measured about it.

    answer: the normalised final answer, None if the text has none. answer_text: what the user asked
    for. text: all that was generated, reasoning included. token_ids: the generated tokens, the record.
    confidence: P(the answer is right), calibrated on confidence_basis, None where that is not known;
    confidence_raw: the uncalibrated number all the same: the head's, or the weighted share of votes.
    votes, escalations, choice: of modes that write several chains; steps, text and tokens are those of the chain
    that was chosen.
    """

    question: str
    answer: str | None
    answer_text: str
    text: str
    mode: Mode
    model: ModelInfo
    confidence: float | None
    confidence_basis: str | None
    confidence_raw: float | None
    steps: tuple[Step, ...]
    cost: Cost
    seed: int
    sampling: Sampling
    finish_reason: FinishReason
    token_ids: tuple[int, ...]
    created: str
    sage_version: str
    ics: float | None = None
    familiar: bool | None = None
    votes: tuple[Vote, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    choice: Choice | None = None
