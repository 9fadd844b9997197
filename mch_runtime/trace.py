"""What was measured about one answer. Frozen, plain values; ``wire.py`` has the JSON form.

A measurement that was not made is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Mode = Literal["fast"]
FinishReason = Literal["stop", "length", "interrupted"]
Verdict = Literal[
    "valid", "doubtful", "wrong_arithmetic", "contradicts", "unsupported", "inherits_error", "withdrawn"
]


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Which model answered. head: its name; quantization: its file's type; None where there is none."""

    name: str
    file: str
    quantization: str | None
    fingerprint: str
    head: str | None


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
    """Tokens read, written and scored, and the time it took."""

    prompt_tokens: int
    generated_tokens: int
    scored_tokens: int
    seconds: Seconds
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sampling that was used; greedy has temperature 0."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float


@dataclass(frozen=True, kw_only=True)
class Trace:
    """An answer with everything measured about it.

    answer: the normalised final answer, None if the text has none. answer_text: what the user asked
    for. text: all that was generated, reasoning included. token_ids: the generated tokens, the record.
    confidence: P(the answer is right), calibrated on confidence_basis, None where that is not known;
    confidence_raw: the head's number all the same.
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
