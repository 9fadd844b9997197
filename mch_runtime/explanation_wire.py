"""The JSON form of an explanation, ``sage.explanation/1``: documented, versioned, apart from the values.

The trace inside keeps the form of ``sage.trace/1`` and gains ``decisions``, ``premises`` and ``monotonicity``.
Floats keep six significant digits; a measurement that was not made is null.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar, cast

from mch_runtime.errors import DataError
from mch_runtime.explanation import (
    Alternative,
    Consistency,
    Decision,
    Explanation,
    Faithfulness,
    Outcome,
    Premise,
)
from mch_runtime.wire import TraceWire, from_wire, plain, to_wire

SCHEMA = "sage.explanation/1"
_IN_TRACE = ("decisions", "premises", "monotonicity")

T = TypeVar("T")


class PremiseWire(TypedDict):
    """What a step rests on; see :class:`mch_runtime.explanation.Premise`."""

    step: int
    source: str
    index: int
    span: list[int]
    text: str
    attention: float | None
    ablation: float | None
    agreed: bool | None


class AlternativeWire(TypedDict):
    """A road not taken; ``outcome`` holds answer, confidence, ics, energy."""

    text: str
    token_id: int
    probability: float
    outcome: dict[str, Any] | None
    changes: bool | None
    why_not: str


class DecisionWire(TypedDict):
    """A place where the model could have gone elsewhere."""

    step: int
    token: int
    text: str
    probability: float
    alternatives: list[AlternativeWire]


class ExplainedTraceWire(TraceWire):
    """A trace with what explains it."""

    decisions: list[DecisionWire] | None
    premises: list[PremiseWire] | None
    monotonicity: list[float] | None


class ConsistencyWire(TypedDict):
    """Whether the question can be reconstructed; the curve over the steps is in the trace."""

    ics: float
    control: float | None
    tokens: list[float]


class ExplanationWire(TypedDict):
    """An explanation; see :class:`mch_runtime.explanation.Explanation`."""

    schema: str
    trace: ExplainedTraceWire
    own: bool
    sentences: list[list[int]]
    usefulness: list[float | None]
    consistency: ConsistencyWire | None
    faithfulness: dict[str, float | None] | None
    words: str | None


def explanation_to_wire(explanation: Explanation) -> ExplanationWire:
    """The explanation as plain dicts, lists, numbers and strings."""
    fields = plain(dataclasses.asdict(explanation))
    consistency = fields["consistency"]
    fields["monotonicity"] = consistency.pop("monotonicity") if consistency else None
    trace = {**to_wire(explanation.trace), **{name: fields.pop(name) for name in _IN_TRACE}}
    return cast(ExplanationWire, {"schema": SCHEMA} | fields | {"trace": trace})


def explanation_from_wire(wire: Mapping[str, Any]) -> Explanation:
    """The explanation behind its JSON form. Raises DataError if it is not one."""
    if wire.get("schema") != SCHEMA:
        raise DataError(
            f"not an explanation of schema {SCHEMA}", hint="give the output of sage explain --format json"
        )
    try:
        return _explanation(wire)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"the explanation is incomplete: {error}") from error


def _explanation(wire: Mapping[str, Any]) -> Explanation:
    trace = dict(wire["trace"])
    inside = {name: trace.pop(name) for name in _IN_TRACE}
    return Explanation(
        trace=from_wire(trace),
        own=wire["own"],
        sentences=tuple(_span(span) for span in wire["sentences"]),
        usefulness=tuple(wire["usefulness"]),
        consistency=_optional(lambda fields: _consistency(fields, inside), wire["consistency"]),
        decisions=_all(_decision, inside["decisions"]),
        premises=_all(_premise, inside["premises"]),
        faithfulness=_optional(lambda fields: Faithfulness(**fields), wire["faithfulness"]),
        words=wire["words"],
    )


def _consistency(wire: Mapping[str, Any], inside: Mapping[str, Any]) -> Consistency:
    curve = inside["monotonicity"]
    return Consistency(
        ics=wire["ics"],
        control=wire["control"],
        tokens=tuple(wire["tokens"]),
        monotonicity=None if curve is None else tuple(curve),
    )


def _decision(wire: Mapping[str, Any]) -> Decision:
    return Decision(**{**wire, "alternatives": tuple(_alternative(item) for item in wire["alternatives"])})


def _alternative(wire: Mapping[str, Any]) -> Alternative:
    return Alternative(**{**wire, "outcome": _optional(lambda fields: Outcome(**fields), wire["outcome"])})


def _premise(wire: Mapping[str, Any]) -> Premise:
    return Premise(**{**wire, "span": _span(wire["span"])})


def _span(wire: Any) -> tuple[int, int]:
    start, end = wire
    return start, end


def _optional(make: Callable[[Any], T], wire: Any) -> T | None:
    return None if wire is None else make(wire)


def _all(make: Callable[[Any], T], wire: Any) -> tuple[T, ...] | None:
    return None if wire is None else tuple(make(item) for item in wire)
