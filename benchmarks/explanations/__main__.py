"""``python -m benchmarks.explanations``: explanations of the embedded model's chains against the truth.

The problems are held out: the test split, easy and standard in halves, all families and kinds. For each the
greedy chain is written, and some at temperature 1. What the steps rest on and which of them is wrong is known from
the task generators. Thresholds of baselines are chosen on validation problems; nothing is chosen on these.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from time import perf_counter

from benchmarks.evaluation import DEFAULT_SEED
from benchmarks.explanations import consistency, cost, decisions, errors, faithfulness, premises
from benchmarks.explanations.chains import Explained, Written, ask, explain_lightly, held_out, told, write
from benchmarks.explanations.figures import Table
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.engine import Engine
from mch_runtime.options import EngineOptions
from sage_cli.assets import DEFAULT_MODEL
from sage_cli.explaining import SIDE_BY_SIDE
from training.curriculum import ALL_FAMILIES
from training.problems import Problem, Split


class Run:
    """One run; what several parts need is made once, and only if one of them does."""

    def __init__(self, engine: Engine, arguments: argparse.Namespace) -> None:
        self.engine, self.arguments = engine, arguments
        self.drawn = self._held_out(arguments.problems, "test")

    @cached_property
    def chains(self) -> list[Explained]:
        written = write(self.engine, self.drawn, sampled=self.arguments.chains, seed=self.arguments.seed)
        return list(explain_lightly(self.engine, told(written, "chains")))

    def premises(self) -> Table:
        own = {group for group, one in self._greedy(len(self.drawn)) if one.exact}
        validation = self._held_out(self.arguments.validation, "validation")
        known, fitted = premises.gather(self.arguments.model, self.drawn, own, validation=validation)
        return premises.report(known, fitted)

    def errors(self) -> Table:
        drawn = self._held_out(self.arguments.validation, "validation")
        written = write(self.engine, drawn, sampled=min(1, self.arguments.chains), seed=self.arguments.seed)
        validation = list(explain_lightly(self.engine, told(written, "validation chains")))
        return errors.report(self.chains, validation)

    def consistency(self) -> Table:
        return consistency.report(self.chains)

    def decisions(self) -> Table:
        wrong = (one.written for one in self.chains if not one.written.right)
        return decisions.report(list(decisions.survey(self.engine, islice(wrong, self.arguments.wrong))))

    def faithfulness(self) -> Table:
        greedy = (one for _, one in self._greedy(self.arguments.sample) if one.trace.steps)
        return faithfulness.report(faithfulness.measure(self.engine, greedy))

    def cost(self) -> Table:
        return cost.report(cost.measure(self.engine, self.drawn[: self.arguments.sample]))

    def _held_out(self, count: int, split: Split) -> list[Problem]:
        return held_out(count, seed=self.arguments.seed, split=split, families=self.arguments.families)

    def _greedy(self, count: int) -> Iterator[tuple[int, Written]]:
        for group, problem in enumerate(self.drawn[:count]):
            yield group, Written(problem, group, greedy=True, trace=ask(self.engine, problem))


PARTS: Mapping[str, Callable[[Run], Table]] = {
    "premises": Run.premises,
    "errors": Run.errors,
    "decisions": Run.decisions,
    "consistency": Run.consistency,
    "faithfulness": Run.faithfulness,
    "cost": Run.cost,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and record."""
    arguments = _parser().parse_args(argv)
    results: dict[str, object] = {}
    with Engine.open(EngineOptions(model=arguments.model, max_sequences=SIDE_BY_SIDE)) as engine:
        run = Run(engine, arguments)
        for name in arguments.only:
            began = perf_counter()
            table = PARTS[name](run)
            print_table(table.title, table.header, table.rows)
            print("".join(f"\n{sentence}" for sentence in table.verdicts), flush=True)
            results[name] = {
                **table.results,
                "goals": list(table.verdicts),
                "seconds": round(perf_counter() - began, 1),
            }
        shown = {
            "name": engine.model.name,
            "file": engine.model.file,
            "fingerprint": engine.model.fingerprint,
        }
    sizes = {key: getattr(arguments, key) for key in ("families", "problems", "chains", "validation", "seed")}
    path = write_record(
        "explanations",
        {"model": shown, **sizes, **results},
        variant=arguments.variant,
        directory=arguments.records,
    )
    print(f"\nrecord: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanations", description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--families", nargs="+", default=list(ALL_FAMILIES), choices=ALL_FAMILIES)
    parser.add_argument("--problems", type=int, default=1500, help="held-out problems")
    parser.add_argument("--chains", type=int, default=4, help="sampled ones for each problem")
    parser.add_argument("--validation", type=int, default=300, help="problems for the baselines' thresholds")
    parser.add_argument(
        "--wrong", type=int, default=400, help="most wrong chains whose alternatives are followed"
    )
    parser.add_argument("--sample", type=int, default=200, help="greedy chains for faithfulness and cost")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--only", type=_parts, default=tuple(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--variant", default="", help="what to call the record of another model")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record goes")
    return parser


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(name for name in PARTS if name in text.split(","))
    if len(names) < len(text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not of {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
