"""What a model was sampled for one problem, as it is kept: one JSON object per line, a header first.

All comparisons of a report are computed from this file, so that they stand on the same chains.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mch_runtime.errors import DataError
from mch_runtime.evaluation.problems import Problem
from mch_runtime.strategies.selection import Scored
from mch_runtime.strict_json import loads
from mch_runtime.trace import ModelInfo
from mch_runtime.wire import model_from_wire

SCHEMA = "sage.samples/1"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the samples of a file have in common; they can be continued under the same setup only.

    task_sha256: of all problems of the task. parameters: of the model, None where they are not known. votes: chains drawn for each
    problem, 0 for none. modes: asked of the engine, each by itself.
    """

    task: str
    title: str
    task_sha256: str
    instruction: str
    model: ModelInfo
    parameters: int | None
    modes: tuple[str, ...]
    votes: int
    temperature: float
    seed: int
    max_tokens: int | None
    sage_version: str

    def to_wire(self) -> dict[str, Any]:
        model = asdict(self.model) | {"control_vectors": [asdict(v) for v in self.model.control_vectors]}
        return {"schema": SCHEMA} | asdict(self) | {"model": model, "modes": list(self.modes)}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Setup:
        """Raises DataError if it is not one."""
        if wire.get("schema") != SCHEMA:
            raise DataError(f"not samples of schema {SCHEMA}", hint="give what sage eval --samples wrote")
        given = {key: value for key, value in wire.items() if key != "schema"}
        try:
            model = model_from_wire(given["model"])
            return cls(**{**given, "model": model, "modes": tuple(given["modes"])})
        except (TypeError, KeyError) as error:
            raise DataError(f"the header of the samples is incomplete: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer of one mode. answer: canonical, None if there is none.

    confidence: P(right) as users are shown it, None where they are shown none; score: what else ranks it, the mean log-probability.
    spoken: the probability that the text states. valid: by step, as the head has it; None without a head.
    Tokens: read once, written, and read again to score; seconds: of all of it, loading left out.
    """

    answer: str | None
    confidence: float | None
    logprob_mean: float
    spoken: float | None
    steps: int
    valid: tuple[float, ...] | None
    prompt_tokens: int
    generated_tokens: int
    scored_tokens: int
    seconds: float
    escalations: int = 0

    @property
    def tokens(self) -> int:
        """That went through the model."""
        return self.prompt_tokens + self.generated_tokens + self.scored_tokens


@dataclass(frozen=True, kw_only=True)
class Chains:
    """N chains of one problem, answers canonical, and what drawing and scoring them took together.

    spoken: what each chain states of its own answer. confidence: calibrated, of the vote by head and
    consistency; None where that is not known. question_tokens: those that the consistency is a mean over.
    """

    scored: tuple[Scored, ...]
    spoken: tuple[float | None, ...]
    confidence: float | None
    prompt_tokens: int
    question_tokens: int | None
    scored_tokens: int
    seconds: float
    scoring_seconds: float


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One problem with everything that was asked of the model."""

    problem: Problem
    modes: Mapping[str, Answered] = field(default_factory=dict)
    chains: Chains | None = None


def to_line(value: Setup | Sample) -> str:
    """One line of the file, without its end."""
    wire = value.to_wire() if isinstance(value, Setup) else _sample_to_wire(value)
    return json.dumps(_plain(wire), ensure_ascii=False, allow_nan=False)


def from_line(line: str) -> Sample:
    """The sample of one line. Raises DataError if it is none."""
    return _sample_from_wire(loads(line))


def from_lines(lines: Iterable[Mapping[str, Any]], *, path: object) -> tuple[Setup, list[Sample]]:
    """The contents of a file. Raises DataError, which names it, if it is not one."""
    rest = iter(lines)
    header = next(rest, None)
    if header is None:
        raise DataError(f"{path} holds no samples", hint="give what sage eval --samples wrote")
    try:
        return Setup.from_wire(header), [_sample_from_wire(wire) for wire in rest]
    except DataError as error:
        raise DataError(f"{path}: {error.message}", hint=error.hint) from error


def _sample_to_wire(sample: Sample) -> dict[str, Any]:
    return {
        "problem": sample.problem.to_wire(),
        "modes": {name: asdict(answered) for name, answered in sample.modes.items()},
        "chains": None if sample.chains is None else asdict(sample.chains),
    }


def _sample_from_wire(wire: Mapping[str, Any]) -> Sample:
    try:
        modes = {name: _answered(value) for name, value in wire["modes"].items()}
        chains = None if wire["chains"] is None else _chains(wire["chains"])
        return Sample(problem=Problem.from_wire(wire["problem"]), modes=modes, chains=chains)
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"a sample is incomplete: {error}", hint="give what sage eval --samples wrote"
        ) from error


def _answered(wire: Mapping[str, Any]) -> Answered:
    valid = wire["valid"]
    return Answered(
        **{**wire, "valid": None if valid is None else tuple(valid), "logprob_mean": _logprob(wire)}
    )


def _logprob(wire: Mapping[str, Any]) -> float:
    """Of a chain without text it is -inf, which JSON does not have."""
    value = wire["logprob_mean"]
    return -math.inf if value is None else float(value)


def _chains(wire: Mapping[str, Any]) -> Chains:
    known = {one.name for one in fields(Scored)}
    scored = tuple(Scored(**{key: chain[key] for key in known if key in chain}) for chain in wire["scored"])
    return Chains(**{**wire, "scored": scored, "spoken": tuple(wire["spoken"])})


def _plain(value: Any) -> Any:
    """Dicts, lists and finite numbers; six significant digits are enough."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
