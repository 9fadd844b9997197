"""The JSON form of a trace, ``sage.trace/1``: documented, versioned, apart from the values.

Floats keep six significant digits; a measurement that was not made is null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from mch_runtime.errors import DataError
from mch_runtime.trace import (
    AppliedVector,
    Choice,
    Cost,
    Escalation,
    ModelInfo,
    Sampling,
    Seconds,
    Step,
    Trace,
    Vote,
)

SCHEMA = "sage.trace/1"


class StepWire(TypedDict):
    """A step; see :class:`mch_runtime.trace.Step`."""

    text: str
    tokens: list[int]
    logprob_mean: float
    logprob_min: float
    entropy_mean: float
    confidence: dict[str, float] | None
    commitment: float | None
    verdict: str | None
    evidence: list[str]


class TraceWire(TypedDict):
    """An answer; see :class:`mch_runtime.trace.Trace`."""

    schema: str
    question: str
    answer: str | None
    answer_text: str
    text: str
    mode: str
    model: dict[str, Any]
    confidence: float | None
    confidence_basis: str | None
    confidence_raw: float | None
    ics: float | None
    familiar: bool | None
    steps: list[StepWire]
    cost: dict[str, Any]
    seed: int
    sampling: dict[str, float]
    finish_reason: str
    token_ids: list[int]
    created: str
    sage_version: str
    votes: list[dict[str, Any]]
    escalations: list[dict[str, Any]]
    choice: dict[str, Any] | None


def to_wire(trace: Trace) -> TraceWire:
    """The trace as plain dicts, lists, numbers and strings."""
    return cast(TraceWire, {"schema": SCHEMA} | plain(dataclasses.asdict(trace)))


def from_wire(wire: Mapping[str, Any]) -> Trace:
    """The trace behind its JSON form. Raises DataError if it is not one."""
    if wire.get("schema") != SCHEMA:
        raise DataError(f"not a trace of schema {SCHEMA}", hint="give the output of sage ask --json")
    fields = {key: value for key, value in wire.items() if key != "schema"}
    try:
        cost = dict(fields["cost"])
        fields |= {
            "model": model_from_wire(fields["model"]),
            "steps": tuple(_step(step) for step in fields["steps"]),
            "cost": Cost(**cost | {"seconds": Seconds(**cost["seconds"])}),
            "sampling": Sampling(**fields["sampling"]),
            "token_ids": tuple(fields["token_ids"]),
            "votes": tuple(Vote(**vote) for vote in fields.get("votes", ())),
            "escalations": tuple(Escalation(**one) for one in fields.get("escalations", ())),
            "choice": Choice(**fields["choice"]) if fields.get("choice") else None,
        }
        return Trace(**fields)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"the trace is incomplete: {error}") from error


def model_from_wire(wire: Mapping[str, Any]) -> ModelInfo:
    """The model behind its JSON form. Raises TypeError if it is not one."""
    vectors = tuple(AppliedVector(**vector) for vector in wire.get("control_vectors", ()))
    return ModelInfo(**{**wire, "control_vectors": vectors})


def _step(wire: Mapping[str, Any]) -> Step:
    start, end = wire["tokens"]
    return Step(**{**wire, "tokens": (start, end), "evidence": tuple(wire["evidence"])})


def plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings alone; floats to six significant digits."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
