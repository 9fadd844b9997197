from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import DataError
from mch_runtime.explanation import Consistency, Explanation
from mch_runtime.explanation_wire import SCHEMA, explanation_from_wire, explanation_to_wire
from mch_runtime.wire import from_wire
from tests.explanation_samples import ALL, foreign, right


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_there_and_back(make: Callable[[], Explanation]) -> None:
    wire = explanation_to_wire(make())
    assert json.loads(json.dumps(wire)) == wire
    assert explanation_to_wire(explanation_from_wire(wire)) == wire


def test_what_has_six_digits_comes_back_as_it_was() -> None:
    assert explanation_from_wire(explanation_to_wire(right())) == right()


@settings(max_examples=50)
@given(
    st.floats(-50, 50),
    st.none() | st.floats(-50, 50),
    st.lists(st.floats(-50, 50), max_size=5),
    st.none() | st.lists(st.floats(-50, 50), max_size=5),
    st.text(max_size=40) | st.none(),
)
def test_rounding_twice_is_rounding_once(
    ics: float, control: float | None, tokens: list[float], curve: list[float] | None, words: str | None
) -> None:
    consistency = Consistency(
        ics=ics, control=control, tokens=tuple(tokens), monotonicity=None if curve is None else tuple(curve)
    )
    wire = explanation_to_wire(dataclasses.replace(right(), consistency=consistency, words=words))
    again = explanation_from_wire(json.loads(json.dumps(wire)))
    assert explanation_to_wire(again) == wire
    assert again.consistency is not None
    assert again.consistency.ics == pytest.approx(ics, rel=1e-5)


def test_the_trace_inside_is_a_trace_with_three_more_fields() -> None:
    wire: Any = explanation_to_wire(right())
    assert wire["schema"] == SCHEMA == "sage.explanation/1"
    trace = wire["trace"]
    assert trace["monotonicity"] == [0.41, 0.8, 0.82]
    assert trace["decisions"][0]["alternatives"][0]["outcome"]["answer"] == "22"
    assert trace["premises"][0]["span"] == [0, 18]
    for name in ("decisions", "premises", "monotonicity"):
        del trace[name]
        assert name not in wire
    assert from_wire(trace) == right().trace


def test_what_was_not_measured_is_null() -> None:
    wire: Any = explanation_to_wire(foreign())
    assert wire["consistency"] is wire["faithfulness"] is wire["words"] is None
    assert [wire["trace"][name] for name in ("decisions", "premises", "monotonicity")] == [None] * 3
    assert wire["usefulness"] == [None, None]


@pytest.mark.parametrize("schema", [None, "sage.trace/1", "sage.explanation/2"])
def test_another_schema_is_refused(schema: str | None) -> None:
    with pytest.raises(DataError, match="schema"):
        explanation_from_wire({"schema": schema})


@pytest.mark.parametrize(
    "damage",
    [
        {"trace": None},
        {"trace": []},
        {"own": ...},
        {"sentences": [[1]]},
        {"usefulness": 3},
        {"consistency": {"ics": 1.0}},
        {"faithfulness": {"x": 1}},
    ],
    ids=repr,
)
def test_damage_is_refused(damage: dict[str, Any]) -> None:
    wire: Any = {**explanation_to_wire(right()), **damage}
    wire = {key: value for key, value in wire.items() if value is not ...}
    with pytest.raises(DataError, match=r"incomplete|schema"):
        explanation_from_wire(wire)


@pytest.mark.parametrize("name", ["decisions", "premises", "monotonicity"])
def test_damage_within_the_trace_is_refused(name: str) -> None:
    wire: Any = explanation_to_wire(right())
    wire["trace"][name] = [{"no": "such"}, 1] if name != "monotonicity" else 3
    with pytest.raises(DataError):
        explanation_from_wire(wire)
