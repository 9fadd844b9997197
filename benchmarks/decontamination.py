"""``python -m benchmarks.decontamination``: does any question of the evaluation occur in training?

Every question of every corpus given is read back from its tokens and compared in words (capitals,
punctuation and spaces do not count) and in structure (names, things and numbers do not count either)
with those of all evaluation sets. Exit status 1 if one occurs.
"""

from __future__ import annotations

import argparse
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.evaluation import DEFAULT_SEED, NEWCOMERS, SETS, draw_all, newcomers
from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.evaluation.metrics import wilson
from training.corpus import Corpus
from training.overlap import corpus_questions, short_hash, structure, words


@dataclass(frozen=True)
class Trained:
    """Hashes of the questions trained on.

    n_questions: with repetitions; words and structures: uint64, sorted, each once.
    """

    n_questions: int
    words: np.ndarray
    structures: np.ndarray

    @classmethod
    def of(cls, questions: Iterable[str]) -> Trained:
        exact, shapes = array("Q"), array("Q")
        for question in questions:
            exact.append(short_hash(words(question)))
            shapes.append(short_hash(structure(question)))
        return cls(len(exact), _once(exact), _once(shapes))


def _once(hashes: array[int]) -> np.ndarray:
    return np.unique(np.frombuffer(hashes, dtype=np.uint64)) if hashes else np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class Overlap:
    """What a set's questions share with training: which occur, and whose structure does, bool (n,)."""

    occurring: tuple[str, ...]
    familiar: np.ndarray
    n_structures: int

    @classmethod
    def of(cls, questions: Sequence[str], trained: Trained) -> Overlap:
        exact = np.array([short_hash(words(q)) for q in questions], dtype=np.uint64)
        shapes = np.array([short_hash(structure(q)) for q in questions], dtype=np.uint64)
        occurs = np.isin(exact, trained.words)
        return cls(
            tuple(q for q, hit in zip(questions, occurs, strict=True) if hit),
            np.isin(shapes, trained.structures),
            len(np.unique(shapes)),
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, print and record; exit 1 if a question occurs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decontamination", description=__doc__)
    parser.add_argument("corpus", type=Path, nargs="+", help="every corpus.npz that was trained on")
    parser.add_argument("--tokenizer", type=Path, required=True, help="the tokenizer.json of all of them")
    parser.add_argument("--problems", type=int, default=2000, help="of each set")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--newcomers", type=Path, default=NEWCOMERS, help="a list of simple questions")
    parser.add_argument("--records", type=Path, default=RECORDS, help="the folder of the record")
    arguments = parser.parse_args(argv)
    drawn = draw_all(SETS, count=arguments.problems, seed=arguments.seed)
    asked = {name: [problem.question for problem in problems] for name, problems in drawn.items()}
    asked["newcomers"] = [one.question for one in newcomers(arguments.newcomers)]
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
    trained = Trained.of(_questions(arguments.corpus, tokenizer))
    overlaps = {name: Overlap.of(questions, trained) for name, questions in asked.items()}
    training = {
        "corpora": [path.name for path in arguments.corpus],
        "questions": trained.n_questions,
        "different_questions": len(trained.words),
        "different_structures": len(trained.structures),
    }
    sets = report(overlaps, trained)
    results = {"problems": arguments.problems, "seed": arguments.seed, "training": training, "sets": sets}
    print(f"\nrecord: {write_record('decontamination', results, directory=arguments.records)}")
    sys.exit(1 if any(overlap.occurring for overlap in overlaps.values()) else 0)


def _questions(corpora: Iterable[Path], tokenizer: Tokenizer) -> Iterator[str]:
    for path in corpora:
        yield from corpus_questions(Corpus.load(path), tokenizer)


def report(overlaps: Mapping[str, Overlap], trained: Trained) -> dict[str, dict[str, Any]]:
    """Print the table and every question that occurs."""
    print(
        f"{trained.n_questions:,} examples in training, {len(trained.words):,} different questions, "
        f"{len(trained.structures):,} different structures"
    )
    rows, results = [], {}
    for name, overlap in overlaps.items():
        count = len(overlap.familiar)
        share = wilson(int(overlap.familiar.sum()), count)
        rows.append(
            [name, str(count), str(len(overlap.occurring)), share.percent, f"{overlap.n_structures:,}"]
        )
        results[name] = {
            "n": count,
            "occurring": list(overlap.occurring),
            "structure_in_training": share.plain(),
            "different_structures": overlap.n_structures,
        }
    header = ["set", "n", "in training", "structure in training, %", "different structures"]
    print_table("Evaluation questions in training", header, rows)
    for name, overlap in overlaps.items():
        for question in overlap.occurring:
            print(f"{name}: {question}")
    return results


if __name__ == "__main__":
    main()
