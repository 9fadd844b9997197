"""``python -m benchmarks.stages NAME=GGUF ...``: what each stage of training changed.

All stages are measured on the same problems: greedy accuracy and its change from the stage before, how
often a chain takes a step back and whether it should have, and how well the mean log-probability of one
sampled chain for each problem ranks right answers above wrong ones. No head is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation import DEFAULT_SEED, SETS, draw_all
from benchmarks.greedy import logprob_mean
from benchmarks.pico import bare_model, chains_of
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.evaluation.metrics import Estimate, paired_difference, ranking, wilson
from mch_runtime.session import Session
from mch_runtime.withdrawal import is_withdrawal
from training.problems import Problem
from training.traces import Sampled

MEASURED = ("easy", "standard", "unanswerable", "hard")


@dataclass(frozen=True)
class Outcomes:
    """One chain for each problem, all (n,).

    right: of the answer; logprob: mean of its tokens, nats; waits: lines that take a step back;
    apt: those of them that take back a wrong one.
    """

    right: np.ndarray
    logprob: np.ndarray
    waits: np.ndarray
    apt: np.ndarray

    @classmethod
    def of(cls, chains: Iterable[Sampled]) -> Outcomes:
        rows = [(one.labels.answer, logprob_mean(one.chain.steps), *_waits(one)) for one in chains]
        right, logprob, waits, apt = zip(*rows, strict=True)
        return cls(np.array(right), np.array(logprob), np.array(waits), np.array(apt))

    @classmethod
    def join(cls, parts: Iterable[Outcomes]) -> Outcomes:
        columns = zip(*((o.right, o.logprob, o.waits, o.apt) for o in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


def _waits(one: Sampled) -> tuple[int, int]:
    """How many lines take a step back, and how many of them rightly."""
    pairs = zip(one.chain.steps, one.labels.steps, strict=True)
    verdicts = [label.valid for step, label in pairs if is_withdrawal(step.text)]
    return len(verdicts), sum(verdicts)


@dataclass(frozen=True)
class Stage:
    """A stage's outcomes by set: greedy, and sampled at temperature 1."""

    greedy: Mapping[str, Outcomes]
    sampled: Mapping[str, Outcomes]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and record."""
    arguments = _parser().parse_args(argv)
    problems = draw_all(arguments.sets, count=arguments.problems, seed=arguments.seed)
    stages: dict[str, Stage] = {}
    for name, path in arguments.stages:
        with bare_model(path) as session:
            stages[name] = measure(session, problems, seed=arguments.seed)
    results = {
        "note": arguments.note,
        "problems": arguments.problems,
        "seed": arguments.seed,
        "files": {name: path.name for name, path in arguments.stages},
        "stages": report(stages, np.random.default_rng(arguments.seed)),
    }
    path = write_record("stages", results, variant=arguments.variant, directory=arguments.records)
    print(f"\nrecord: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("stages", nargs="+", type=_named, metavar="NAME=GGUF", help="in order")
    parser.add_argument("--problems", type=int, default=1000, help="of each set")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=MEASURED, metavar="SET")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--note", default="", help="for the record: what each stage was trained on")
    parser.add_argument("--variant", default="", help="what to call the record of another comparison")
    parser.add_argument("--records", type=Path, default=RECORDS, help="the folder of the record")
    return parser


def _named(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=GGUF")
    return name, Path(path)


def measure(session: Session, problems: Mapping[str, Sequence[Problem]], *, seed: int) -> Stage:
    """A greedy and a sampled chain for every problem."""

    def outcomes(temperature: float) -> dict[str, Outcomes]:
        return {
            name: Outcomes.of(
                chains_of(session, chosen, count=len(chosen), temperature=temperature, seed=seed)
            )
            for name, chosen in problems.items()
        }

    return Stage(outcomes(0.0), outcomes(1.0))


def report(stages: Mapping[str, Stage], rng: np.random.Generator) -> dict[str, Any]:
    """Print a table of accuracies and one of withdrawals; returns the figures."""
    results: dict[str, Any] = {}
    before: Stage | None = None
    for name, stage in stages.items():
        results[name] = {
            "right": {
                key: wilson(int(o.right.sum()), len(o.right)).plain() for key, o in stage.greedy.items()
            },
            "difference": _differences(before, stage, rng) if before else {},
            "greedy": withdrawals(Outcomes.join(stage.greedy.values())),
            "sampled": withdrawals(Outcomes.join(stage.sampled.values())),
            "auroc_logprob_mean": {key: _ranking(o, rng) for key, o in stage.sampled.items()}
            | {"all": _ranking(Outcomes.join(stage.sampled.values()), rng)},
        }
        before = stage
    _print_accuracies(results)
    _print_withdrawals(results)
    return results


def _differences(before: Stage, stage: Stage, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    pairs = {key: (before.greedy[key].right, after.right) for key, after in stage.greedy.items()}
    return {key: paired_difference(*pair, rng=rng).plain() for key, pair in pairs.items()}


def _ranking(outcomes: Outcomes, rng: np.random.Generator) -> dict[str, float] | None:
    right = outcomes.right.astype(np.float64)
    found = ranking(outcomes.logprob, right, np.arange(len(right)), rng=rng)
    return found.plain() if found else None


def withdrawals(outcomes: Outcomes) -> dict[str, Any]:
    """How many chains take a step back, and how their answers fare.

    justified: every step taken back was wrong. right_after: the share of right answers; None of no chain.
    """
    some = outcomes.waits > 0
    justified = some & (outcomes.apt == outcomes.waits)
    found: dict[str, Any] = {"chains": len(some), "with_wait": wilson(int(some.sum()), len(some)).plain()}
    for name, members in (("justified", justified), ("unjustified", some & ~justified)):
        right, count = int(outcomes.right[members].sum()), int(members.sum())
        found[name] = {"n": count, "right_after": wilson(right, count).plain() if count else None}
    return found


def _print_accuracies(results: Mapping[str, dict[str, Any]]) -> None:
    sets = list(next(iter(results.values()))["right"])
    rows = []
    for name, row in results.items():
        cells = [_percent(row["right"][key]) for key in sets]
        changes = [_percent(row["difference"].get(key)) for key in sets]
        ranks = row["auroc_logprob_mean"]["all"]
        rows.append([name, *cells, *changes, f"{ranks['value']:.3f}" if ranks else ""])
    header = ["stage", *(f"{key}, %" for key in sets), *(f"{key}, change" for key in sets)]
    print_table("Greedy accuracy by stage", [*header, "AUROC of log-prob. mean, sampled"], rows)


def _print_withdrawals(results: Mapping[str, dict[str, Any]]) -> None:
    rows = []
    for name, row in results.items():
        for how in ("greedy", "sampled"):
            found = row[how]
            cells = [_percent(found["with_wait"])]
            for kind in ("justified", "unjustified"):
                cells += [str(found[kind]["n"]), _percent(found[kind]["right_after"])]
            rows.append([name, how, str(found["chains"]), *cells])
    header = ["stage", "decoding", "chains", "with a step taken back, %"]
    header += ["justified", "right after, %", "unjustified", "right after, %"]
    print_table("Steps taken back", header, rows)


def _percent(share: Mapping[str, float] | None) -> str:
    return Estimate(**share).percent if share else ""


if __name__ == "__main__":
    main()
