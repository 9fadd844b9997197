from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.startup import BARE, TYPER, figures, measure, to_first_character, whole


def test_rounds_are_interleaved_and_the_first_does_not_count() -> None:
    calls: list[str] = []

    def way(name: str, seconds: float) -> float:
        calls.append(name)
        return seconds

    found = measure({"a": lambda: way("a", 1.0), "b": lambda: way("b", 2.0)}, rounds=3, seed=0)
    assert {name: values.tolist() for name, values in found.items()} == {"a": [1.0] * 3, "b": [2.0] * 3}
    assert [sorted(calls[at : at + 2]) for at in range(0, 8, 2)] == [["a", "b"]] * 4


def test_ratios_are_formed_round_by_round() -> None:
    seconds = {BARE: np.array([1.0, 2.0]), TYPER: np.array([2.0, 2.0]), "x": np.array([4.0, 8.0])}
    row = figures(seconds)["x"]
    assert row["milliseconds"] == {"median": 6000.0, "q25": 5000.0, "q75": 7000.0}
    assert row["to_bare_python"]["median"] == 4.0
    assert row["to_typer"]["median"] == 3.0


def test_programs_are_timed() -> None:
    assert whole((sys.executable, "-c", "pass"), {}) > 0
    assert to_first_character((sys.executable, "-c", "print('\\n x')"), {}) > 0
    with pytest.raises(OSError):
        to_first_character((sys.executable, "-c", "pass"), {})
