"""``python -m benchmarks.steering``: whether a control vector shortens or lengthens sage-pico's chains, and what that costs.

The vector is made as ``sage head steer-fit`` makes it, from problems of the training split: texts that stop where another
step is needed against texts that stop where the answer is due. Problems of the test split are then answered
greedily under it at several scales, and every scale is compared with none on the same problems.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.evaluation import draw_all
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.answering import Question
from mch_runtime.contrast import Contrast, Pair, contrast
from mch_runtime.engine import Engine
from mch_runtime.evaluation.metrics import Estimate, bootstrap
from mch_runtime.options import AskOptions, EngineOptions, VectorFile
from mch_runtime.steering import write
from mch_runtime.trace import Trace
from sage_cli import assets
from training.curriculum import ALL_FAMILIES, STANDARD_STEPS, Mixture, problems
from training.problems import Problem

ROWS = 16
CTX_OF_ONE = 640  # tokens of question and chain together
MAX_TOKENS = 256


def main(argv: Sequence[str] | None = None) -> None:
    """Make the vector, answer under it, print and record."""
    arguments = _parser().parse_args(argv)
    pairs = contrasted(arguments.pairs, seed=arguments.seed)
    layers = (arguments.layers[0], arguments.layers[-1])
    with tempfile.TemporaryDirectory() as folder:
        vector = Path(folder) / "steps.gguf"
        made = contrast(arguments.model, pairs, method=arguments.method, layers=layers)
        write(made.vector, vector, notes={})
        asked = draw_all([arguments.set], count=arguments.problems, seed=arguments.seed)[arguments.set]
        answered = {
            scale: answer(arguments.model, vector, scale, asked) for scale in sorted({0.0, *arguments.scales})
        }
    rng = np.random.default_rng(arguments.seed)
    rows = {f"{scale:g}": compared(one, answered[0.0], rng) for scale, one in answered.items()}
    report(rows, len(asked))
    results = {
        "model": arguments.model.name,
        "problems": len(asked),
        "set": arguments.set,
        "seed": arguments.seed,
        "max_tokens": MAX_TOKENS,
        "vector": described(made, arguments.method),
        "scales": rows,
    }
    path = write_record("steering", results, variant=arguments.variant, directory=arguments.records)
    print(f"\nrecord: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steering", description=__doc__)
    parser.add_argument("--model", type=Path, default=assets.DEFAULT_MODEL, help="default: the shipped GGUF")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--method", choices=("mean", "pca"), default="mean")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 4], help="first and last")
    parser.add_argument("--scales", type=float, nargs="+", default=[-0.3, -0.15, 0.15, 0.3])
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--set", default="standard")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--variant", default="")
    parser.add_argument("--records", type=Path, default=RECORDS, help="the folder of the record")
    return parser


def contrasted(count: int, *, seed: int) -> list[Pair]:
    """Pairs of one problem each: its solution up to a step that is not the last, and up to the last."""
    mixture = Mixture(ALL_FAMILIES, level="standard", steps=STANDARD_STEPS)
    rng = Random(f"{seed}/steering")
    pairs = []
    for problem in islice(problems(mixture, split_name="train", seed=f"{seed}/steering"), count):
        lines = problem.reasoning.splitlines(keepends=True)
        unfinished = "".join(lines[: rng.randrange(1, len(lines))])
        pairs.append(Pair(positive=unfinished, negative=problem.reasoning, question=problem.question))
    return pairs


@dataclass(frozen=True)
class Answered:
    """Problems answered at one scale; every array is (problems,).

    steps: of a chain, its answer left out; tokens: written; right: the answer; stopped: by itself.
    """

    steps: np.ndarray
    tokens: np.ndarray
    right: np.ndarray
    stopped: np.ndarray


def answer(model: Path, vector: Path, scale: float, asked: Sequence[Problem]) -> Answered:
    """Greedy answers, many side by side; scale 0 is the model as it is."""
    steering = (VectorFile(vector, scale),) if scale else ()
    options = EngineOptions(model=model, control_vectors=steering, ctx_size=CTX_OF_ONE * ROWS)
    questions = [
        Question(text=problem.question, options=AskOptions(max_tokens=MAX_TOKENS)) for problem in asked
    ]
    with Engine.open(options.side_by_side(ROWS)) as engine:
        traces = [one.trace for one in engine.answers(questions)]
    rows = [_row(trace, problem) for trace, problem in zip(traces, asked, strict=True) if trace is not None]
    return Answered(*np.array(rows, dtype=np.float64).T)


def _row(trace: Trace, problem: Problem) -> tuple[int, int, bool, bool]:
    steps = sum(step.text.startswith("Step ") for step in trace.steps)
    return steps, len(trace.token_ids), trace.answer == problem.answer, trace.finish_reason == "stop"


def compared(steered: Answered, plain: Answered, rng: np.random.Generator) -> dict[str, Any]:
    """Means, and their differences from the model as it is, with 95 % intervals over problems."""
    found: dict[str, Any] = {}
    for name in ("steps", "tokens", "right", "stopped"):
        values, before = getattr(steered, name), getattr(plain, name)
        found[name] = _mean(values, rng).plain()
        if steered is not plain:
            found[f"{name}_difference"] = _mean(values - before, rng).plain()
    return found


def _mean(values: np.ndarray, rng: np.random.Generator) -> Estimate:
    return bootstrap(lambda i: float(values[i].mean()), np.arange(len(values)), rng=rng, rounds=2000)


def described(made: Contrast, method: str) -> dict[str, Any]:
    """How the vector was made."""
    return {
        "method": method,
        "pairs": made.pairs,
        "held_out": made.held_out,
        "layers": [
            {"layer": one.layer, "size": round(one.size, 4), "separation": one.separation}
            for one in made.layers
        ],
    }


def report(rows: dict[str, dict[str, Any]], count: int) -> None:
    """Print the table."""
    table = [
        [scale, *(_cell(row[name], digits=digits) for name, digits in _COLUMNS if name in row)]
        for scale, row in rows.items()
    ]
    header = [
        "scale",
        "steps",
        "tokens",
        "right",
        "steps less plain",
        "tokens less plain",
        "right less plain",
    ]
    print_table(f"Greedy answers to {count} problems, means with 95 % intervals", header, table)


_COLUMNS = (
    ("steps", 2),
    ("tokens", 1),
    ("right", 3),
    ("steps_difference", 2),
    ("tokens_difference", 1),
    ("right_difference", 3),
)


def _cell(estimate: dict[str, float], *, digits: int) -> str:
    value, low, high = (f"{estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
