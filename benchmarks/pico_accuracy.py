"""``python -m benchmarks.pico_accuracy``: greedy answers of the embedded model, by number of steps."""

from __future__ import annotations

import argparse
from collections import defaultdict

from benchmarks.metrics import wilson
from benchmarks.pico import chains, shipped_model
from benchmarks.record import print_table, write_record


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pico_accuracy", description=__doc__)
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    results: dict[str, object] = {"problems": arguments.problems, "seed": arguments.seed, "temperature": 0}
    with shipped_model() as (session, _):
        for split, unseen in (("test", False), ("test-wording", True)):
            outcomes: dict[str, list[bool]] = defaultdict(list)
            for one in chains(
                session,
                count=arguments.problems,
                per_problem=1,
                temperature=0.0,
                seed=arguments.seed,
                unseen_wording=unseen,
            ):
                outcomes["all"].append(one.labels.answer)
                outcomes[f"{len(one.problem.steps)} steps"].append(one.labels.answer)
            estimates = {name: wilson(sum(right), len(right)) for name, right in sorted(outcomes.items())}
            results[split] = {
                name: estimate.plain() | {"n": len(outcomes[name])} for name, estimate in estimates.items()
            }
            rows = [[name, str(len(outcomes[name])), str(value)] for name, value in estimates.items()]
            print_table(f"Greedy accuracy, {split}", ["problems", "n", "right"], rows)
    print(f"\nrecord: {write_record('pico_accuracy', results)}")


if __name__ == "__main__":
    main()
