"""``python -m benchmarks.pico_problems``: write the problems that ``sage eval pico`` asks.

They are of the test split, drawn as all evaluation sets are; nothing is chosen or fitted on them. The file
is the same whenever the families are.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evaluation import DEFAULT_SEED, draw_all
from mch_runtime.atomic import atomic_output
from sage_cli.assets import PICO_PROBLEMS
from training.problems import Problem

LEVELS = ("easy", "standard", "hard", "unanswerable", "contradictory")


def main(argv: Sequence[str] | None = None) -> None:
    """Draw and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pico_problems", description=__doc__)
    parser.add_argument("--problems", type=int, default=400, help="of each level")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--output", type=Path, default=PICO_PROBLEMS)
    arguments = parser.parse_args(argv)
    drawn = draw_all(LEVELS, count=arguments.problems, seed=arguments.seed)
    lines = [json.dumps(record) for record in mixed(drawn)]
    data = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    with atomic_output(arguments.output) as partial:
        partial.write_bytes(data)
    print(f"{arguments.output}: {len(lines):,} problems, {len(data):,} bytes")


def mixed(drawn: dict[str, list[Problem]]) -> Iterable[dict[str, Any]]:
    """One of each level in turn, so that any number from the start is a fair mixture."""
    for index, problems in enumerate(zip(*drawn.values(), strict=True), start=1):
        for level, problem in zip(drawn, problems, strict=True):
            yield {
                "id": f"{level}-{index}",
                "question": problem.question,
                "answer": problem.answer,
                "level": level,
                "family": problem.family,
                "steps": len(problem.steps),
            }


if __name__ == "__main__":
    main()
