"""``python -m benchmarks.head_quality``: can the head's confidence be trusted?

Sampled chains of the embedded model on held-out problems, decoded by llama.cpp, judged by the numpy
head and by exact checkers, beside what plain log-probabilities can tell.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.metrics import Estimate, auroc, auroc_within, bootstrap, brier, ece, ece_floor
from benchmarks.pico import Scores, chains, score, shipped_model
from benchmarks.record import print_table, write_record
from mch_runtime.head.fit import CHANNELS


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_quality", description=__doc__)
    parser.add_argument("--problems", type=int, default=4000)
    parser.add_argument("--chains", type=int, default=4, help="of each problem")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    with shipped_model() as (session, head):
        sampled = chains(
            session,
            count=arguments.problems,
            per_problem=arguments.chains,
            temperature=arguments.temperature,
            seed=arguments.seed,
        )
        scores = score(head, sampled)
    ranking = _ranking(scores, rng)
    calibration = _calibration(scores, rng)
    print(f"{len(scores.chain_answer):,} chains, {scores.chain_answer.mean():.3f} of them right")
    print_table(
        "AUROC with 95 % intervals over problems",
        ["detector", "valid, per step", "answer, per chain", "answer, within a problem"],
        [[name, *map(str, row.values())] for name, row in ranking.items()],
    )
    print_table(
        "Calibration",
        ["channel", "n", "ECE", "its floor", "Brier", "base rate"],
        [[name, *(f"{v:g}" for v in row.values())] for name, row in calibration.items()],
    )
    results = vars(arguments) | {
        "n_chains": len(scores.chain_answer),
        "chains_right": round(float(scores.chain_answer.mean()), 4),
        "auroc": {name: {k: e.plain() for k, e in row.items()} for name, row in ranking.items()},
        "calibration": calibration,
    }
    print(f"\nrecord: {write_record('head_quality', results)}")


def _ranking(scores: Scores, rng: np.random.Generator) -> dict[str, dict[str, Estimate]]:
    steps = np.flatnonzero(~scores.is_answer)
    step_groups = scores.chain_problem[scores.step_chain][steps]
    valid = scores.step_labels[steps, 0]
    detectors = {
        "head": (scores.steps[steps, 0], scores.chain_confidence),
        "mean log-probability": (scores.step_logprob_mean[steps], scores.chain_logprob_mean),
        "minimum log-probability": (scores.step_logprob_min[steps], scores.chain_logprob_min),
    }

    def row(per_step: np.ndarray, per_chain: np.ndarray) -> dict[str, Estimate]:
        def within(i: np.ndarray) -> float:
            return auroc_within(per_chain[i], scores.chain_answer[i], scores.chain_problem[i])

        return {
            "valid": bootstrap(lambda i: auroc(per_step[i], valid[i]), step_groups, rng=rng),
            "answer": bootstrap(
                lambda i: auroc(per_chain[i], scores.chain_answer[i]), scores.chain_problem, rng=rng
            ),
            "within": bootstrap(within, scores.chain_problem, rng=rng, rounds=100),
        }

    return {name: row(*pair) for name, pair in detectors.items()}


def _calibration(scores: Scores, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    def row(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        figures = {
            "n": float(len(labels)),
            "ece": ece(probabilities, labels),
            "floor": ece_floor(probabilities, rng=rng),
            "brier": brier(probabilities, labels),
            "base_rate": float(labels.mean()),
        }
        return {name: round(value, 4) for name, value in figures.items()}

    steps = ~scores.is_answer
    table = {
        f"{name}, per step": row(scores.steps[steps, k], scores.step_labels[steps, k])
        for k, name in enumerate(CHANNELS)
    }
    return table | {"answer, per chain": row(scores.chain_confidence, scores.chain_answer)}


if __name__ == "__main__":
    main()
