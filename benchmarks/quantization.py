"""``python -m benchmarks.quantization``: what each type of quantization costs model and head.

The F32 base, with its head behind it, is quantized to each type as ``sage quantize`` does it. All types
are measured on the same problems, through llama.cpp.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as joined
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.divergence import divergence, log_distributions, solution_texts
from benchmarks.evaluation import DEFAULT_SEED, draw, draw_all
from benchmarks.pico import Scores, chains_of, score, shipped_model
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.errors import HeadError
from mch_runtime.evaluation.metrics import Estimate, ece, ece_floor, paired_difference, ranking, wilson
from mch_runtime.file_types import file_type_name
from mch_runtime.files import read_regular_file
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import attach, find_head, probe_cosine
from mch_runtime.head.format import MAX_HEAD_BYTES
from mch_runtime.loading import hidden_after
from quant.quantize import quantize
from sage_cli import assets
from training.problems import Problem
from training.traces import Sampled

TYPES = ("F16", "Q8_0", "Q5_K_M", "Q4_K_M", "Q4_0")
REFERENCE = "F16"
SETS = ("easy", "standard", "unanswerable")


@dataclass(frozen=True)
class Plan:
    """What is measured: greedy problems by set, problems for ``per_problem`` sampled chains each."""

    greedy: Mapping[str, Sequence[Problem]]
    sampled: Sequence[Problem]
    per_problem: int
    n_texts: int
    seed: int


@dataclass(frozen=True)
class Measured:
    """One file's outcomes. right: bool (n,) by set; greedy, sampled: as the head saw the chains.

    texts: the greedy chains as token ids; distributions: of the reference's texts.
    """

    n_bytes: int
    cosine: float
    right: Mapping[str, np.ndarray]
    greedy: Scores
    sampled: Scores
    texts: list[tuple[list[int], list[int]]]
    distributions: list[np.ndarray]


def main(argv: Sequence[str] | None = None) -> None:
    """Quantize, measure, print and record."""
    arguments = _parser().parse_args(argv)
    plan = Plan(
        greedy=draw_all(SETS, count=arguments.problems, seed=arguments.seed),
        sampled=draw("mixed", count=arguments.chain_problems, seed=arguments.seed),
        per_problem=arguments.chains,
        n_texts=arguments.texts,
        seed=arguments.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "base.gguf"
        attach(arguments.base, _head(arguments), whole)
        source = type_of(whole)
        measured = {source: measure(whole, plan)}
        for name in arguments.types:
            smaller = Path(folder) / f"{name}.gguf"
            # The source may be a quantized one; the record says of which type it is.
            quantize(whole, smaller, type_name=name, threads=1, allow_requantize=True)
            measured[name] = measure(smaller, plan, texts=measured[source].texts)
            smaller.unlink()
    rng = np.random.default_rng(arguments.seed)
    settings = {name: getattr(arguments, name) for name in ("problems", "chain_problems", "chains", "texts")}
    results = settings | {"seed": arguments.seed, "temperature": 1.0, "source": source}
    results |= {"types": report(measured, source, rng)}
    print(f"\nrecord: {write_record('quantization', results, directory=arguments.records)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantization", description=__doc__)
    parser.add_argument("--base", type=Path, default=Path("build/pico/base-f32.gguf"), help="F32 or F16 GGUF")
    head = parser.add_mutually_exclusive_group()
    head.add_argument("--head", type=Path, help="the head's own file")
    head.add_argument(
        "--head-of",
        type=Path,
        default=assets.DEFAULT_MODEL,
        help="a GGUF with head (default: the shipped one)",
    )
    parser.add_argument("--types", nargs="+", default=list(TYPES), metavar="TYPE")
    parser.add_argument("--problems", type=int, default=500, help="greedy ones, of each set")
    parser.add_argument("--chain-problems", type=int, default=1000, help="with sampled chains")
    parser.add_argument("--chains", type=int, default=2, help="of each of those problems, at temperature 1")
    parser.add_argument("--texts", type=int, default=200, help="greedy solutions for the divergence")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--records", type=Path, default=RECORDS, help="the folder of the record")
    return parser


def _head(arguments: argparse.Namespace) -> bytes:
    if arguments.head is not None:
        return read_regular_file(arguments.head, limit=MAX_HEAD_BYTES)
    return head_bytes(arguments.head_of)


def head_bytes(model: Path) -> bytes:
    """The GGUF of the head behind ``model``. Raises HeadError if there is none."""
    with open_checked(model) as (fd, gguf):
        found = find_head(model, fd, gguf, os.fstat(fd).st_size)
    if found is None or found.head is None:
        raise HeadError(f"{model} has no head", hint="name a file that has one with --head-of")
    return found.data


def type_of(path: Path) -> str:
    """What a file says of its own type, like "F32"."""
    with open_checked(path) as (_, gguf):
        return file_type_name(gguf.metadata.get("general.file_type")) or "source"


def measure(
    path: Path, plan: Plan, *, texts: Sequence[tuple[list[int], list[int]]] | None = None
) -> Measured:
    """Everything about one file. texts: those to compare distributions on, its own greedy ones if None."""
    with shipped_model(path, force_head=True) as (session, head):
        greedy = {
            name: list(chains_of(session, problems, count=len(problems), seed=plan.seed))
            for name, problems in plan.greedy.items()
        }
        sampled = chains_of(
            session,
            plan.sampled,
            count=len(plan.sampled),
            per_problem=plan.per_problem,
            temperature=1.0,
            seed=plan.seed,
        )
        own = solution_texts(session, _spread(greedy, plan.n_texts))
        return Measured(
            n_bytes=path.stat().st_size,
            cosine=probe_cosine(head.spec.probe, hidden_after(session, head.spec.probe.token_ids)),
            right={name: np.array([one.labels.answer for one in found]) for name, found in greedy.items()},
            greedy=score(head, joined.from_iterable(greedy.values())),
            sampled=score(head, sampled),
            texts=own,
            distributions=log_distributions(session, own if texts is None else texts),
        )


def _spread(greedy: Mapping[str, list[Sampled]], count: int) -> list[Sampled]:
    """The first chains of every set, ``count`` of them together."""
    return [one for group in zip(*greedy.values(), strict=True) for one in group][:count]


def report(measured: Mapping[str, Measured], source: str, rng: np.random.Generator) -> dict[str, Any]:
    """Print one row for each type; returns the figures."""
    results = {
        name: _figures(one, measured[source], measured.get(REFERENCE), rng) for name, one in measured.items()
    }
    rows = []
    for name, row in results.items():
        shares = [Estimate(**row["right"][key]).percent for key in SETS]
        change = row["difference"]["all"]
        ranks = [f"{row[key]['value']:.3f}" if row[key] else "" for key in ("step_auroc", "chain_auroc")]
        figures = [f"{row[key]:.3f}" for key in ("ece_greedy", "ece_sampled")]
        rows.append(
            [
                name,
                f"{row['bytes'] / 1e6:.2f}",
                *shares,
                Estimate(**change).percent if name != REFERENCE and change else "",
                *ranks,
                *figures,
                f"{row['cosine']:.5f}",
                f"{row['kl']['value']:.5f}",
            ]
        )
    header = ["type", "MB", *(f"{name}, %" for name in SETS), f"against {REFERENCE}, points"]
    header += ["step AUROC", "chain AUROC", "ECE greedy", "ECE sampled", "cosine", f"KL from {source}"]
    print_table("Types of quantization", header, rows)
    return results


def _figures(
    one: Measured, source: Measured, reference: Measured | None, rng: np.random.Generator
) -> dict[str, Any]:
    steps = np.flatnonzero(~one.sampled.is_answer)
    said, valid = one.sampled.steps[steps, 0], one.sampled.step_labels[steps, 0]
    problems = one.sampled.chain_problem
    sure, right = one.sampled.chain_confidence, one.sampled.chain_answer
    return {
        "bytes": one.n_bytes,
        "right": {name: wilson(int(hits.sum()), len(hits)).plain() for name, hits in one.right.items()},
        "difference": _differences(one, reference, rng),
        "step_auroc": _plain(ranking(said, valid, problems[one.sampled.step_chain][steps], rng=rng)),
        "chain_auroc": _plain(ranking(sure, right, problems, rng=rng)),
        "sampled_right": round(float(right.mean()), 4),
        "ece_greedy": round(ece(one.greedy.chain_fast, one.greedy.chain_answer), 4),
        "ece_sampled": round(ece(sure, right), 4),
        "ece_floor_greedy": round(ece_floor(one.greedy.chain_fast, rng=rng), 4),
        "ece_floor_sampled": round(ece_floor(sure, rng=rng), 4),
        "cosine": round(one.cosine, 5),
        "kl": {
            k: round(v, 6)
            for k, v in vars(divergence(source.distributions, one.distributions, rng=rng)).items()
        },
    }


def _plain(estimate: Estimate | None) -> dict[str, float] | None:
    return estimate.plain() if estimate else None


def _differences(
    one: Measured, reference: Measured | None, rng: np.random.Generator
) -> dict[str, dict[str, float] | None]:
    """Accuracy less the reference's, by set and of all together; None without a reference."""
    if reference is None:
        return dict.fromkeys((*one.right, "all"))
    pairs = {name: (reference.right[name], hits) for name, hits in one.right.items()}
    first, second = (np.concatenate(side) for side in zip(*pairs.values(), strict=True))
    pairs["all"] = (first, second)
    return {name: paired_difference(*pair, rng=rng).plain() for name, pair in pairs.items()}


if __name__ == "__main__":
    main()
