"""``python -m benchmarks.pico_accuracy``: greedy answers of a sage-pico on held-out problems.

Every problem is asked as ``sage ask`` asks, of the shipped GGUF or another. How many answers are right,
by family and number of steps; whether problems without an answer are said to be so; whether the
confidence that is shown deserves its name; and how simple questions fare that a newcomer would type.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from benchmarks.evaluation import DEFAULT_SEED, NEWCOMERS, SETS, Said, draw_all, newcomers
from benchmarks.greedy import Answered, SimplyAnswered, ask_all, ask_newcomers, groups
from benchmarks.record import RECORDS, print_table, write_record
from benchmarks.targets import TARGETS
from mch_runtime.engine import Engine
from mch_runtime.evaluation.metrics import Estimate, brier, ece, ece_floor, plain, ranking, wilson
from mch_runtime.options import EngineOptions
from sage_cli import assets

ANSWERABLE = ("easy", "standard")
FLAWED = {"unanswerable": "unknown", "contradictory": "contradiction"}
MEASURED = (*ANSWERABLE, *FLAWED, "test-wording", "test-length", "casual", "mixed")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and record."""
    arguments = _parser().parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    problems = draw_all(arguments.sets, count=arguments.problems, seed=arguments.seed)
    with Engine.open(EngineOptions(model=arguments.model)) as engine:
        answers = {name: ask_all(engine, drawn) for name, drawn in problems.items()}
        simple = ask_newcomers(engine, newcomers(arguments.newcomers))
        described = {"name": engine.model.name, "quantization": engine.model.quantization}
    results: dict[str, Any] = {
        "model": described | {"file": arguments.model.name, "fingerprint": engine.model.fingerprint},
        "problems": arguments.problems,
        "seed": arguments.seed,
        "temperature": 0,
        "targets": report_targets(answers, simple),
        "right": {name: report_accuracy(name, answered) for name, answered in answers.items()},
        "said": report_said(answers),
        "confidence": report_confidence(answers, rng),
        "newcomers": report_newcomers(simple),
    }
    path = write_record("pico_accuracy", results, variant=arguments.variant, directory=arguments.records)
    print(f"\nrecord: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pico_accuracy", description=__doc__)
    parser.add_argument("--model", type=Path, default=assets.DEFAULT_MODEL, help="default: the shipped GGUF")
    parser.add_argument("--problems", type=int, default=2000, help="of each set")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=MEASURED, metavar="SET")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--newcomers", type=Path, default=NEWCOMERS, help="a list of simple questions")
    parser.add_argument("--variant", default="", help="what to call the record of another model")
    parser.add_argument("--records", type=Path, default=RECORDS, help="the folder of the record")
    return parser


def report_targets(
    answers: Mapping[str, Sequence[Answered]], simple: Sequence[SimplyAnswered]
) -> dict[str, dict[str, Any]]:
    """Print the figures that have targets, with what became of them."""
    found: dict[str, tuple[Estimate, int, str]] = {}
    for name in (*ANSWERABLE, "unanswerable"):
        if name in answers:
            share = right_share(answers[name])
            found[name] = (share, len(answers[name]), share.percent)
    alarms = false_alarms(answers)
    if alarms:
        share = wilson(sum(alarms), len(alarms))
        found["false alarms"] = (share, len(alarms), share.percent)
    right = sum(one.right for one in simple)
    found["newcomers"] = (Estimate(right, right, right), len(simple), str(right))
    rows, results = [], {}
    for name, (figure, count, text) in found.items():
        target = TARGETS[name]
        rows.append([name, str(count), text, str(target), target.verdict(figure.value)])
        results[name] = figure.plain() | {"n": count, "target": str(target)}
        results[name]["verdict"] = target.verdict(figure.value)
    print_table("Targets, in % or questions", ["figure", "n", "measured", "target", ""], rows)
    return results


def right_share(answered: Sequence[Answered]) -> Estimate:
    """The share of right answers with its interval."""
    return wilson(sum(one.right for one in answered), len(answered))


def false_alarms(answers: Mapping[str, Sequence[Answered]]) -> list[bool]:
    """For every answerable problem, easy and standard: is it said to have no answer?"""
    asked = [one for name in ANSWERABLE for one in answers.get(name, ())]
    return [one.said in FLAWED.values() for one in asked]


def report_accuracy(name: str, answered: Sequence[Answered]) -> dict[str, dict[str, float]]:
    """Print a table of the families by numbers of steps; returns the shares of all groups."""
    right = np.array([one.right for one in answered])
    members = groups([one.problem for one in answered])
    shares = {group: wilson(int(right[of].sum()), int(of.sum())) for group, of in members.items()}
    columns = ["all", *(group for group in shares if group.split()[0].isdigit())]
    rows = []
    for group in shares:
        if group in columns[1:] or "," in group:
            continue
        keys = [f"{group}, {column}" if group != "all" else column for column in columns[1:]]
        cells = [shares[key].percent if key in shares else "" for key in keys]
        rows.append([group, str(int(members[group].sum())), shares[group].percent, *cells])
    print_table(f"Right greedy answers, {name}, %", ["problems", "n", *columns], rows)
    return {group: share.plain() | {"n": int(members[group].sum())} for group, share in shares.items()}


def report_said(answers: Mapping[str, Sequence[Answered]]) -> dict[str, dict[str, Any]]:
    """Print what is said to problems of each kind, so that the two kinds without an answer can be told apart."""
    rows: list[list[str]] = []
    results: dict[str, dict[str, Any]] = {}
    for name in (*ANSWERABLE, *FLAWED):
        if name not in answers:
            continue
        counts = Counter(one.said for one in answers[name])
        shares = {word: wilson(counts[word], len(answers[name])) for word in get_args(Said)}
        rows.append([name, str(len(answers[name])), *(share.percent for share in shares.values())])
        results[name] = {word: share.plain() | {"n": counts[word]} for word, share in shares.items()}
    alarms = false_alarms(answers)
    if alarms:
        share = wilson(sum(alarms), len(alarms))
        print_table("What is said, % of the problems", ["problems", "n", *get_args(Said)], rows)
        print(f"\nfalse alarms: {share.percent} % of {len(alarms)} answerable problems")
        results["false alarms"] = share.plain() | {"n": len(alarms)}
    return results


def report_confidence(
    answers: Mapping[str, Sequence[Answered]], rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Print how well the confidence of each set's answers ranks and how well it is calibrated."""
    results = {name: confidence_of(answered, rng) for name, answered in answers.items()}
    header = [
        "problems",
        "null",
        "AUROC",
        "log-prob. mean",
        "difference",
        "ECE",
        "its floor",
        "Brier",
        "mean",
    ]
    rows = []
    for name, row in results.items():
        ranks = [_cell(row[key]) for key in ("auroc", "auroc_logprob_mean", "auroc_difference")]
        figures = [_cell(row[key]) for key in ("ece", "ece_floor", "brier", "mean_confidence")]
        rows.append([name, f"{row['null']} of {row['n']}", *ranks, *figures])
    print_table("Confidence of greedy answers; answers without one are left out", header, rows)
    return results


def confidence_of(answered: Sequence[Answered], rng: np.random.Generator) -> dict[str, Any]:
    """Figures of the answers that have a confidence, and how many have none and are right all the same."""
    known = [one for one in answered if one.confidence is not None]
    nulls = [one.right for one in answered if one.confidence is None]
    row: dict[str, Any] = {"n": len(answered), "null": len(nulls), "null_right": sum(nulls)}
    names = (
        "auroc",
        "auroc_logprob_mean",
        "auroc_difference",
        "ece",
        "ece_floor",
        "brier",
        "mean_confidence",
    )
    row |= dict.fromkeys(names)
    if not known:
        return row
    confidence = np.array([one.confidence for one in known], dtype=np.float64)
    logprob = np.array([one.logprob_mean for one in known])
    right = np.array([one.right for one in known], dtype=np.float64)
    every = np.arange(len(known))
    ranks = {
        "auroc": ranking(confidence, right, every, rng=rng),
        "auroc_logprob_mean": ranking(logprob, right, every, rng=rng),
        "auroc_difference": ranking(confidence, right, every, rng=rng, less=logprob),
    }
    row |= {name: estimate.plain() for name, estimate in ranks.items() if estimate}
    row["ece"], row["ece_floor"] = plain(ece(confidence, right)), plain(ece_floor(confidence, rng=rng))
    row["brier"], row["mean_confidence"] = plain(brier(confidence, right)), plain(confidence.mean())
    return row


def _cell(figure: dict[str, float] | float | None) -> str:
    if figure is None:
        return ""
    return str(Estimate(**figure)) if isinstance(figure, dict) else f"{figure:.3f}"


def report_newcomers(simple: Sequence[SimplyAnswered]) -> dict[str, Any]:
    """Print every simple question with what was said to it."""
    rows = []
    for one in simple:
        sure = "" if one.confidence is None else f"{100 * one.confidence:.0f} %"
        verdict = "right" if one.right else "wrong"
        rows.append([verdict, one.asked.question, one.asked.answer, one.answer or "", sure])
    print_table("Newcomers' questions", ["", "question", "answer", "said", "sure"], rows)
    keys = ("question", "answer", "said")
    return {
        "n": len(simple),
        "right": sum(one.right for one in simple),
        "null": sum(one.confidence is None for one in simple),
        "wrong": [dict(zip(keys, row[1:4], strict=True)) for row in rows if row[0] == "wrong"],
    }


if __name__ == "__main__":
    main()
