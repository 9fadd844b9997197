"""Chains of every problem, kept as ``sage eval --samples`` keeps them; a run that was stopped goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mch_runtime.effort import SelectionSettings
from mch_runtime.engine import Engine
from mch_runtime.evaluation.samples import Setup, from_lines, to_line
from mch_runtime.evaluation.sampling import sample
from mch_runtime.evaluation.source import read_rows
from mch_runtime.evaluation.tasks import read_task
from mch_runtime.options import EngineOptions
from sage_cli import assets


def sample_problems(
    path: Path,
    out: Path,
    *,
    modes: tuple[str, ...],
    votes: int,
    seed: int,
    limit: int | None = None,
) -> int:
    """Ask what has no sample yet in ``out``; how many problems have one."""
    task = read_task("pico", path)
    options = EngineOptions(model=assets.DEFAULT_MODEL, threads=1).side_by_side(votes)
    with Engine.open(options) as engine:
        setup = Setup(
            task="pico",
            title="selection",
            task_sha256=task.sha256,
            instruction="",
            model=replace(engine.model, file=assets.DEFAULT_MODEL.name),
            parameters=None,
            modes=modes,
            votes=votes,
            temperature=0.8,
            seed=seed,
            max_tokens=400,
            sage_version="",
        )
        if not out.exists():
            out.write_text(to_line(setup) + "\n", encoding="utf-8")
        _, found = from_lines((row for _, row in read_rows(out)), path=out)
        done = {one.problem.sha256 for one in found}
        with out.open("a", encoding="utf-8") as file:
            for number, problem in enumerate(task.problems[:limit], start=1):
                if problem.sha256 in done:
                    continue
                one = sample(engine, task, problem, setup, SelectionSettings())
                file.write(to_line(one) + "\n")
                file.flush()
                done.add(problem.sha256)
                if number % 50 == 0:
                    print(f"{number} of {len(task.problems[:limit])}", flush=True)
    return len(done)
