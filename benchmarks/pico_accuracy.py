"""``python -m benchmarks.pico_accuracy``: greedy answers of the embedded model on held-out problems.

Accuracy by number of steps, and whether the confidence that ``sage ask`` prints deserves its name.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.metrics import auroc, brier, ece, ece_floor, wilson
from benchmarks.pico import Scores, chains, score, shipped_model
from benchmarks.record import print_table, write_record

SPLITS = {"test": False, "test-wording": True}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pico_accuracy", description=__doc__)
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    results: dict[str, object] = vars(arguments) | {"temperature": 0}
    with shipped_model() as (session, head):
        for split, unseen in SPLITS.items():
            sampled = list(
                chains(
                    session,
                    count=arguments.problems,
                    per_problem=1,
                    temperature=0.0,
                    seed=arguments.seed,
                    unseen_wording=unseen,
                )
            )
            scores = score(head, iter(sampled))
            steps = np.array([len(one.problem.steps) for one in sampled])
            results[split] = {
                "accuracy": _accuracy(split, scores, steps),
                "confidence": _confidence(split, scores, np.random.default_rng(arguments.seed)),
            }
    print(f"\nrecord: {write_record('pico_accuracy', results)}")


def _accuracy(split: str, scores: Scores, steps: np.ndarray) -> dict[str, dict[str, float]]:
    groups = {"all": steps > 0} | {
        f"{k} step{'s' * (k > 1)}": steps == k for k in sorted(set(steps.tolist()))
    }
    estimates = {
        name: (wilson(int(scores.chain_answer[members].sum()), int(members.sum())), int(members.sum()))
        for name, members in groups.items()
    }
    rows = [[name, str(count), str(value)] for name, (value, count) in estimates.items()]
    print_table(f"Greedy accuracy, {split}", ["problems", "n", "right"], rows)
    return {name: value.plain() | {"n": count} for name, (value, count) in estimates.items()}


def _confidence(split: str, scores: Scores, rng: np.random.Generator) -> dict[str, float]:
    confidence, right = scores.chain_fast, scores.chain_answer
    figures = {
        "auroc": auroc(confidence, right),
        "auroc_logprob_mean": auroc(scores.chain_logprob_mean, right),
        "ece": ece(confidence, right),
        "ece_floor": ece_floor(confidence, rng=rng),
        "brier": brier(confidence, right),
        "mean_confidence": float(confidence.mean()),
    }
    rows = [[name, f"{value:.3f}"] for name, value in figures.items()]
    print_table(f"Confidence of greedy answers, {split}", ["measure", "value"], rows)
    return {name: round(value, 4) for name, value in figures.items()}


if __name__ == "__main__":
    main()
