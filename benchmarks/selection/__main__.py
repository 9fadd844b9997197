"""``python -m benchmarks.selection``: what choosing among many chains is worth, on held-out problems."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RECORDS, print_table, write_record
from benchmarks.selection.certain import certain
from benchmarks.selection.chains import load
from benchmarks.selection.effort import (
    by_steps,
    chosen,
    compared,
    curve,
    load_modes,
    look_ahead,
)
from benchmarks.selection.figure import draw
from benchmarks.selection.problems import write_problems
from benchmarks.selection.sampling import sample_problems
from benchmarks.selection.votes import GUIDED, MAJORITY, calibration, choose, growth, table
from mch_runtime.effort import SelectionSettings
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import find_head
from mch_runtime.head.spec import Head
from sage_cli import assets

FOLDER = Path("build/selection")
FIGURES = Path("docs/figures")
MODE_VOTES = 8
COUNTS = (1, 2, 4, 8, 16, 32)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__)
    parser.add_argument("step", choices=tuple(STEPS), help="in this order")
    parser.add_argument("--dir", type=Path, default=FOLDER, help="default: %(default)s")
    parser.add_argument("--validation", type=int, default=600, help="problems of each level")
    parser.add_argument("--test", type=int, default=1000, help="problems of each level")
    parser.add_argument("--votes", type=int, default=32)
    parser.add_argument("--limit", type=int, help="problems that the modes are asked (default: all)")
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


def _ask(arguments: argparse.Namespace) -> None:
    """The modes on all problems, and what looking ahead is worth alone: thinking with one vote."""
    for split, name, modes, votes in (
        ("validation", "modes", ("fast", "think", "auto"), MODE_VOTES),
        ("test", "modes", ("fast", "think", "auto"), MODE_VOTES),
        ("test", "look-ahead", ("fast", "think"), 1),
    ):
        sample_problems(
            arguments.dir / f"{split}.jsonl",
            arguments.dir / f"{split}-{name}.jsonl",
            modes=modes,
            votes=votes,
            seed=arguments.seed,
            limit=arguments.limit,
        )


def _modes(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(arguments.seed)
    _, validation = load_modes(arguments.dir / "validation-modes.jsonl")
    samples, test = load_modes(arguments.dir / "test-modes.jsonl")
    standard = np.array([one.problem.group == "standard" for one in samples])
    of_standard = {mode: found.of(standard) for mode, found in test.items()}
    on_validation = {
        "modes": compared(validation, rng=rng),
        "curve": curve(validation),
    }
    settings = SelectionSettings()
    results: dict[str, Any] = {
        "votes": MODE_VOTES,
        "seed": arguments.seed,
        "think_below": settings.think_below,
        "look_ahead_below": settings.look_ahead_below,
        "problems": {"validation": len(validation["fast"].right), "test": len(samples)},
        "validation": on_validation,
        "chosen": chosen(on_validation["curve"]),
        "mixture": compared(test, rng=rng),
        "standard": compared(of_standard, rng=rng),
        "curve": {"mixture": curve(test), "standard": curve(of_standard)},
        "by_steps": by_steps(samples, test),
        "look_ahead": _look_ahead(arguments, rng),
    }
    for title in ("mixture", "standard"):
        print_table(
            title,
            ["mode", "right, %", "against fast", "of think's", "cost of think's", "ECE (floor)"],
            [_mode_row(mode, row) for mode, row in results[title].items()],
        )
    print(f"\nlook-ahead alone: {results['look_ahead']}")
    record = write_record("selection", results, variant="modes", directory=arguments.records)
    print(f"\nrecord: {record}")


def _mode_row(mode: str, row: dict[str, Any]) -> list[str]:
    known = row["confidence"]
    return [
        mode,
        "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * row["right"][k] for k in ("value", "low", "high"))),
        "{value:+.1f} [{low:.1f}, {high:.1f}]".format(**row["against_fast"]),
        f"{100 * row['of_think']:.1f} %",
        f"{100 * row['cost_of_think']:.1f} %",
        f"{known['ece']:.3f} ({known['floor']:.3f})" if known else "",
    ]


def _look_ahead(arguments: argparse.Namespace, rng: np.random.Generator) -> dict[str, Any]:
    """Other steps alone, without votes, beside guided votes on the same problems that cost about as much."""
    samples, asked = load_modes(arguments.dir / "test-look-ahead.jsonl")
    _, chains = load(arguments.dir / "test-samples.jsonl")
    names = {one.problem.sha256 for one in samples}
    same = chains.of(np.array([one.problem.sha256 in names for one in chains.samples]))
    return look_ahead(asked, same, rng=rng)


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
        calibrator = _head().spec.calibration["vote"]
        for level, some in (("mixture", test), ("standard", standard)):
            results[level][key]["confidence"] = calibration(some.chains(0, count), calibrator, rng=rng)
        _print(f"mixture, {count} chains", results["mixture"][key])
        _print(f"standard, {count} chains", results["standard"][key])
    counts = [count for count in COUNTS if count <= arguments.votes]
    results["growth"] = growth(test, settings.shipped, counts)
    results["certain"] = certain(validation, test, rng=rng)
    print(f"\nmajorities of at least 75 %: {results['certain']}")
    print(f"\nrecord: {write_record('selection', results, directory=arguments.records)}")


def _head() -> Head:
    """The embedded model's."""
    path = assets.DEFAULT_MODEL
    with open_checked(path) as (fd, gguf):
        found = find_head(path, fd, gguf, path.stat().st_size)
    assert found is not None
    assert found.head is not None
    return found.head


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
    print(f"confidence of {GUIDED}: {results['confidence']}")


def _figure(arguments: argparse.Namespace) -> None:
    """From the records to docs/figures."""
    names = ("selection", "selection_modes")
    votes, modes = (json.loads((arguments.records / f"{name}.json").read_text())["results"] for name in names)
    draw(FIGURES, votes, modes)


STEPS = {
    "problems": _problems,
    "sample": _sample,
    "votes": _votes,
    "ask": _ask,
    "modes": _modes,
    "figure": _figure,
}

if __name__ == "__main__":
    main()
