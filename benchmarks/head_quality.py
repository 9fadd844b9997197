"""``python -m benchmarks.head_quality``: can the head's confidence be trusted?

Sampled and greedy chains of a sage-pico on test problems of all families, decoded by llama.cpp, judged by
the numpy head and by exact checkers, beside token log-probabilities, a linear probe, and heads without
statistics and without attention. Those three are fitted first, on training problems: that needs torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines import Baselines, fit_baselines
from benchmarks.evaluation import DEFAULT_SEED, draw
from benchmarks.head_scores import HEAD, LOGPROB_MEAN, LOGPROB_MIN, Scored, score_chains
from benchmarks.pico import chains_of, shipped_model
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.evaluation.metrics import Array, auroc, auroc_within, brier, ece, ece_floor, plain
from mch_runtime.evaluation.ranking import Ranking, rank, rank_within
from mch_runtime.head.fit import CHANNELS

RIVALS = (LOGPROB_MEAN, LOGPROB_MIN)
FEWEST = 50  # chains of a group with fewer right or wrong ones are not ranked


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and record."""
    arguments = _arguments(argv)
    results: dict[str, Any] = {name: value for name, value in vars(arguments).items() if name != "records"}
    results["model"] = arguments.model.name if arguments.model else "the embedded one"
    with shipped_model(arguments.model) as (session, head):
        baselines = Baselines()
        if arguments.fit_problems:
            baselines = fit_baselines(
                session,
                head,
                count=arguments.fit_problems,
                chains=arguments.chains,
                seed=arguments.seed,
            )
        problems = draw("mixed", count=arguments.problems, seed=arguments.seed)
        for name, count, temperature in (
            ("sampled", arguments.chains, arguments.temperature),
            ("greedy", 1, 0.0),
        ):
            stream = chains_of(
                session,
                problems,
                count=len(problems),
                per_problem=count,
                temperature=temperature,
                seed=arguments.seed,
            )
            results[name] = _report(name, score_chains(head, baselines, stream), arguments.seed)
    print(
        f"\nrecord: {write_record('head_quality', results, variant=arguments.variant, directory=arguments.records)}"
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_quality", description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF with its head (default: the embedded one)")
    parser.add_argument("--problems", type=int, default=4000)
    parser.add_argument("--chains", type=int, default=4, help="of each problem")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument(
        "--fit-problems",
        type=int,
        default=3000,
        help="to fit what the head is compared with; 0: leave it out",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--variant", default="", help="part of the record's name")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record goes")
    return parser.parse_args(argv)


def _report(name: str, scored: Scored, seed: int) -> dict[str, Any]:
    """Print the tables of one set of chains; the figures for the record."""
    rng = np.random.default_rng(seed)
    print(f"\n{name}: {len(scored.answer):,} chains, {scored.answer.mean():.3f} of them right")
    rankings = rankings_of(scored, rng)
    measures = list(rankings)
    print_table(
        f"AUROC with 95 % intervals over problems, {name}",
        ["detector", *measures],
        [[row, *(str(rankings[m].estimate(row)) for m in measures)] for row in scored.chain_scores],
    )
    differences = {
        f"{measure}, against {rival}": rankings[measure].difference(HEAD, rival)
        for measure in measures
        for rival in RIVALS
    }
    print_table(
        f"The head's AUROC minus that of log-probabilities, paired, {name}",
        ["measure", "difference", "p"],
        [[row, str(value), f"{p:.4f}"] for row, (value, p) in differences.items()],
    )
    calibration = calibrations_of(scored, rng)
    print_table(
        f"Calibration, {name}",
        ["channel", "n", "ECE", "its floor", "Brier", "base rate"],
        [[row, *(f"{v:g}" for v in figures.values())] for row, figures in calibration.items()],
    )
    groups = groups_of(scored)
    print_table(
        f"By family and level, {name}",
        ["problems", "chains", "right", "head", LOGPROB_MEAN, "head, within", f"{LOGPROB_MEAN}, within"],
        [
            [row, *("" if v is None else f"{v:g}" for v in figures.values())]
            for row, figures in groups.items()
        ],
    )
    return {
        "n_chains": len(scored.answer),
        "n_steps": int((~scored.is_answer).sum()),
        "right": plain(float(scored.answer.mean())),
        "auroc": {m: {row: _plain(r, row) for row in scored.chain_scores} for m, r in rankings.items()},
        "differences": {row: value.plain() | {"p": round(p, 5)} for row, (value, p) in differences.items()},
        "calibration": calibration,
        "groups": groups,
    }


def _plain(ranking: Ranking, row: str) -> dict[str, float | None]:
    return {name: plain(value) for name, value in vars(ranking.estimate(row)).items()}


def rankings_of(scored: Scored, rng: np.random.Generator) -> dict[str, Ranking]:
    """AUROC per step (answer lines left out), per chain, and, with several chains each, within problems."""
    steps = ~scored.is_answer
    per_step = {name: score[steps] for name, score in scored.step_scores.items()}
    labels = scored.step_labels[steps, CHANNELS.index("valid")]
    rankings = {
        "valid, per step": rank(per_step, labels, scored.step_problem[steps], rng=rng),
        "answer, per chain": rank(scored.chain_scores, scored.answer, scored.problem, rng=rng),
    }
    if len(np.unique(scored.problem)) < len(scored.problem):
        rankings["answer, within problems"] = rank_within(
            scored.chain_scores, scored.answer, scored.problem, rng=rng
        )
    return rankings


def calibrations_of(scored: Scored, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """ECE beside the floor that a perfect score shows, and Brier, of each channel and of the answers."""
    steps = ~scored.is_answer
    rows = {
        f"{name}, per step": (scored.confidence[steps, k], scored.step_labels[steps, k])
        for k, name in enumerate(CHANNELS)
    }
    rows["answer, per chain"] = (scored.chain_confidence, scored.answer)
    rows["answer, as fast mode shows it"] = (scored.fast, scored.answer)
    return {name: _calibration(*row, rng) for name, row in rows.items()}


def _calibration(probabilities: Array, labels: Array, rng: np.random.Generator) -> dict[str, float]:
    figures = {
        "n": float(len(labels)),
        "ece": ece(probabilities, labels),
        "floor": ece_floor(probabilities, rng=rng),
        "brier": brier(probabilities, labels),
        "base_rate": float(labels.mean()),
    }
    return {name: round(value, 4) for name, value in figures.items()}


def groups_of(scored: Scored) -> dict[str, dict[str, float | None]]:
    """Chains, share of right ones and AUROC of head and mean log-probability, by family and level."""
    names = np.array([f"{family} {level}" for family, level in zip(scored.family, scored.level, strict=True)])
    table: dict[str, dict[str, float | None]] = {}
    for name in sorted(set(names.tolist())):
        members = names == name
        right = scored.answer[members]
        figures: dict[str, float | None] = {"n": len(right), "right": plain(float(right.mean()))}
        chosen = {row: scored.chain_scores[row][members] for row in (HEAD, LOGPROB_MEAN)}
        enough = min(right.sum(), (1 - right).sum()) >= FEWEST
        for row, score in chosen.items():
            figures[row] = plain(auroc(score, right)) if enough else None
        for row, score in chosen.items():
            within = auroc_within(score, right, scored.problem[members])
            figures[f"{row}, within"] = plain(within) if enough else None
        table[name] = figures
    return table


if __name__ == "__main__":
    main()
