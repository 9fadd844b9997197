from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import stages
from benchmarks.stages import Outcomes, withdrawals
from sage_cli.assets import DEFAULT_MODEL


def outcomes(rows: list[tuple[bool, int, int]]) -> Outcomes:
    right, waits, apt = zip(*rows, strict=True)
    return Outcomes(np.array(right), np.zeros(len(rows)), np.array(waits), np.array(apt))


def test_a_chain_is_justified_if_all_it_took_back_was_wrong() -> None:
    found = withdrawals(
        outcomes([(True, 0, 0), (True, 1, 1), (False, 2, 2), (False, 2, 1), (True, 1, 0), (True, 1, 0)])
    )
    assert found["with_wait"]["value"] == pytest.approx(5 / 6, abs=1e-4)
    assert (found["justified"]["n"], found["justified"]["right_after"]["value"]) == (2, 0.5)
    assert found["unjustified"]["n"] == 3
    assert withdrawals(outcomes([(True, 0, 0)]))["justified"] == {"n": 0, "right_after": None}


def test_the_same_model_twice_makes_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [f"first={DEFAULT_MODEL}", f"second={DEFAULT_MODEL}", "--problems", "6"]
    command += ["--sets", "easy", "hard", "--note", "nothing", "--records", str(tmp_path)]
    stages.main(command)
    results = json.loads((tmp_path / "stages.json").read_text())["results"]
    assert results["note"] == "nothing"
    assert results["stages"]["first"]["difference"] == {}
    for change in results["stages"]["second"]["difference"].values():
        assert change == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "Steps taken back" in capsys.readouterr().out


def test_a_stage_needs_a_name() -> None:
    with pytest.raises(SystemExit):
        stages.main([str(DEFAULT_MODEL)])
