"""``python -m benchmarks.selection``: what choosing among many chains is worth, on held-out problems."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RECORDS, print_table, write_record
from benchmarks.selection.certain import certain
from benchmarks.selection.chains import load
from benchmarks.selection.problems import write_problems
from benchmarks.selection.sampling import sample_problems
from benchmarks.selection.votes import GUIDED, MAJORITY, choose, growth, table

FOLDER = Path("build/selection")
COUNTS = (1, 2, 4, 8, 16, 32)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__)
    parser.add_argument("step", choices=tuple(STEPS), help="in this order")
    parser.add_argument("--dir", type=Path, default=FOLDER, help="default: %(default)s")
    parser.add_argument("--validation", type=int, default=600, help="problems of each level")
    parser.add_argument("--test", type=int, default=1000, help="problems of each level")
    parser.add_argument("--votes", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record goes")
    arguments = parser.parse_args(argv)
    arguments.dir.mkdir(parents=True, exist_ok=True)
    STEPS[arguments.step](arguments)


def _problems(arguments: argparse.Namespace) -> None:
    for split, count in (("validation", arguments.validation), ("test", arguments.test)):
        path = arguments.dir / f"{split}.jsonl"
        print(f"{path}: {write_problems(path, split=split, count=count):,} problems")


def _sample(arguments: argparse.Namespace) -> None:
    for split in ("validation", "test"):
        sample_problems(
            arguments.dir / f"{split}.jsonl",
            arguments.dir / f"{split}-samples.jsonl",
            modes=("fast", "vote"),
            votes=arguments.votes,
            seed=arguments.seed,
        )


def _votes(arguments: argparse.Namespace) -> None:
    setup, validation = load(arguments.dir / "validation-samples.jsonl")
    _, test = load(arguments.dir / "test-samples.jsonl")
    rng = np.random.default_rng(arguments.seed)
    results: dict[str, Any] = {
        "temperature": setup.temperature,
        "seed": setup.seed,
        "validation_problems": len(validation.fast),
        "settings": {},
        "mixture": {},
        "standard": {},
    }
    standard = test.of(test.level == "standard")
    for count in (arguments.votes, 8):
        settings = choose(validation.chains(0, count))
        key = f"N={count}"
        results["settings"][key] = asdict(settings)
        results["mixture"][key] = table(test.chains(0, count), settings, rng=rng)
        results["standard"][key] = table(standard.chains(0, count), settings, rng=rng)
        _print(f"mixture, {count} chains", results["mixture"][key])
        _print(f"standard, {count} chains", results["standard"][key])
    counts = [count for count in COUNTS if count <= arguments.votes]
    results["growth"] = growth(test, settings.shipped, counts)
    results["certain"] = certain(validation, test, rng=rng)
    print(f"\nmajorities of at least 75 %: {results['certain']}")
    print(f"\nrecord: {write_record('selection', results, directory=arguments.records)}")


def _print(title: str, results: dict[str, Any]) -> None:
    rows = []
    for name, row in results["rows"].items():
        right = row["right"]
        if not isinstance(right, dict):
            rows.append([name, f"{100 * right:.1f}", "", ""])
            continue
        difference = row["against_majority"]
        rows.append(
            [
                name,
                "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * right[k] for k in ("value", "low", "high"))),
                "{value:+.1f} [{low:.1f}, {high:.1f}]".format(**difference),
                f"{row['mcnemar_p']:g}",
            ]
        )
    print_table(title, ["rule", "right, %", "against the majority", "McNemar p"], rows)
    print(f"\n{GUIDED} against: {results['guided_against']}")
    print(f"errors of the {MAJORITY} removed: {results['errors_removed']}")


STEPS = {"problems": _problems, "sample": _sample, "votes": _votes}

if __name__ == "__main__":
    main()
