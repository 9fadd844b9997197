"""``python -m benchmarks.startup``: how long sage takes to be there, beside Python itself and a small Typer program.

In each round every program runs once, in an order that is drawn anew; ratios are formed round by round, so that a
machine whose speed drifts does not matter. The first token is timed on a terminal, where text appears as it is
written: from the start of the process to the first visible character of the embedded model's answer.
"""

from __future__ import annotations

import argparse
import os
import pty
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.record import print_table, write_record

QUESTION = "Ida has 14 rings. Leo has 6 fewer rings than Ida. How many rings has Leo?"
SAGE = (sys.executable, "-m", "sage_cli")
BARE, TYPER = "bare Python", "small Typer program, --help"
SMALL_PROGRAM = """
import typer

app = typer.Typer(rich_markup_mode=None)


@app.command()
def main(name: str) -> None:
    "Say hello."
    print(f"Hello {name}")


app()
"""
_READ = 1 << 12


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(programs(Path(folder)), rounds=arguments.rounds, seed=arguments.seed)
    results = figures(seconds)
    rows = [
        [name, *(f"{row[key]['median']:.2f}" for key in ("milliseconds", "to_bare_python", "to_typer"))]
        for name, row in results.items()
    ]
    spreads = [
        f"[{row['milliseconds']['q25']:.0f}, {row['milliseconds']['q75']:.0f}]" for row in results.values()
    ]
    header = ["program", "ms", "to bare Python", "to Typer", "quartiles, ms"]
    print_table(f"From start to end, medians of {arguments.rounds} rounds", header, [
        [*row, spread] for row, spread in zip(rows, spreads, strict=True)
    ])  # fmt: skip
    if not arguments.no_record:
        sample = {"rounds": arguments.rounds, "seed": arguments.seed}
        print(f"\nrecord: {write_record('startup', sample | {'programs': results})}")


def programs(folder: Path) -> dict[str, Callable[[], float]]:
    """Each program by name; calling it runs it once and returns seconds. The log and settings are in ``folder``."""
    small = folder / "small.py"
    small.write_text(SMALL_PROGRAM, encoding="utf-8")
    ours = {"SAGE_LOG": str(folder / "logs.db"), "SAGE_CONFIG": str(folder / "config.toml"), "TERM": "dumb"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SAGE_")} | ours
    first_token = (*SAGE, "--no-log", "--no-stdin", QUESTION)
    return {
        BARE: lambda: whole((sys.executable, "-c", "pass"), environ),
        TYPER: lambda: whole((sys.executable, str(small), "--help"), environ),
        "sage --version": lambda: whole((*SAGE, "--version"), environ),
        "sage --help": lambda: whole((*SAGE, "--help"), environ),
        "sage, first token": lambda: to_first_character(first_token, environ),
    }


def whole(command: tuple[str, ...], environ: Mapping[str, str]) -> float:
    """Seconds from start to end of a program that succeeds."""
    began = perf_counter()
    subprocess.run(command, env=environ, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def to_first_character(command: tuple[str, ...], environ: Mapping[str, str]) -> float:
    """Seconds from start to the first visible character on a terminal."""
    ours, theirs = pty.openpty()
    try:
        began = perf_counter()
        child = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
        os.close(theirs)
        try:
            while not os.read(ours, _READ).strip():
                pass
            return perf_counter() - began
        finally:
            child.kill()
            child.wait()
    finally:
        os.close(ours)


def measure(ways: Mapping[str, Callable[[], float]], *, rounds: int, seed: int) -> dict[str, np.ndarray]:
    """Seconds of every round by name, after a round that does not count."""
    draw = random.Random(seed)
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name in draw.sample(list(ways), len(ways)):
            found[name].append(ways[name]())
    return {name: np.array(values) for name, values in found.items()}


def figures(seconds: Mapping[str, np.ndarray]) -> dict[str, dict[str, dict[str, float]]]:
    """Median and quartiles of the times, in milliseconds, and of the ratios."""
    return {
        name: {
            "milliseconds": _spread(1000 * values, digits=1),
            "to_bare_python": _spread(values / seconds[BARE], digits=2),
            "to_typer": _spread(values / seconds[TYPER], digits=2),
        }
        for name, values in seconds.items()
    }


def _spread(values: np.ndarray, *, digits: int) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {
        "median": round(float(middle), digits),
        "q25": round(float(low), digits),
        "q75": round(float(high), digits),
    }


if __name__ == "__main__":
    main()
