"""The problems that ``sage eval pico`` asks are written as they are read."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pico_problems import LEVELS, main
from mch_runtime.evaluation.tasks import read_task


def test_problems_of_all_levels_in_turn(tmp_path: Path) -> None:
    path, again = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    for output in (path, again):
        main(["--problems", "2", "--output", str(output)])
    assert path.read_bytes() == again.read_bytes()
    task = read_task("pico", path)
    assert [problem.group for problem in task.problems] == [*LEVELS, *LEVELS]
    assert all(problem.depth for problem in task.problems)
    assert {problem.answer for problem in task.problems if problem.group == "unanswerable"} == {"unknown"}
