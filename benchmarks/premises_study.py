"""``python -m benchmarks.premises_study``: the thresholds of ``mch_runtime/inverse/premises.py``.

On *validation* problems, whose true premises the generators know, exact solutions are read by teacher
forcing; every method's threshold is the one with the best F1 there. Nothing here is a result: results are
measured on test problems.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np

from benchmarks.record import RECORDS, print_table, write_record
from mch_runtime.attention import AttentionSource
from mch_runtime.inverse import premises
from mch_runtime.inverse.premises import Evidence, gather_evidence, shares
from mch_runtime.inverse.reading import read_chain, text_ends
from mch_runtime.inverse.segment import segments, sentences
from mch_runtime.inverse.sources import Place
from mch_runtime.llama.context import LlamaSession, open_session
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.options import EngineOptions
from mch_runtime.prompting import make_prompt, plain_tokens
from mch_runtime.session import FloatArray, Interrupt
from prompts.dialects import Dialect, shipped
from sage_cli.assets import DEFAULT_MODEL
from training.curriculum import ALL_FAMILIES, EASY_STEPS, FLAWED, STANDARD_STEPS, Mixture, problems
from training.problems import Problem

CTX_SIZE, MAX_SEQUENCES = 8192, 32
THRESHOLDS = 200
_NAMED = re.compile(r"\d+|[A-Z][a-z]+")


@dataclass(frozen=True)
class Case:
    """A step of a solution: the places before it, which of them it uses, and what was measured."""

    family: str
    text: str
    places: tuple[Place, ...]
    true: frozenset[int]
    evidence: Evidence
    sparing: Evidence


def overlap(case: Case) -> FloatArray:
    """How many names and numbers each place shares with what the step says before its result."""
    said = set(_NAMED.findall(case.text.split(":", 1)[-1].rsplit("=", 1)[0]))
    return np.array([len(said & set(_NAMED.findall(place.text))) for place in case.places], dtype=np.float32)


def recency(case: Case) -> FloatArray:
    """1, 1/2, 1/3, ... from the nearest place back."""
    return (1 / np.arange(len(case.places), 0, -1)).astype(np.float32)


def _random() -> Callable[[Case], FloatArray]:
    rng = Random(0)
    return lambda case: np.array([rng.random() for _ in case.places], dtype=np.float32)


def _attention(case: Case) -> FloatArray:
    assert case.evidence.attention is not None
    return case.evidence.attention


METHODS: dict[str, tuple[Callable[[Case], FloatArray], float | None]] = {
    "random": (_random(), None),
    "recency": (recency, None),
    "shared names and numbers": (lambda case: shares(overlap(case)), None),
    "attention": (_attention, premises.ATTENTION_SHARE),
    "ablation": (lambda case: case.evidence.ablation_share, premises.ABLATION_SHARE),
    "both": (lambda case: case.evidence.joint, premises.JOINT_SHARE),
    "both, sparing": (lambda case: case.sparing.joint, premises.JOINT_SHARE),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.premises_study", description=__doc__)
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--families", nargs="*", default=list(ALL_FAMILIES), choices=ALL_FAMILIES)
    parser.add_argument("--problems", type=int, default=400)
    parser.add_argument("--seed", default="premises")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the record goes")
    arguments = parser.parse_args(argv)
    options = EngineOptions(model=arguments.model, ctx_size=CTX_SIZE, max_sequences=MAX_SEQUENCES)
    interrupt = Interrupt()
    drawn = list(islice(_problems(tuple(arguments.families), arguments.seed), arguments.problems))
    began = perf_counter()
    with open_model(arguments.model) as model, open_session(model, options, interrupt) as session:
        source = LlamaAttention(model, options, interrupt)
        cases = [case for problem in drawn for case in measure(session, source, problem)]
    results = {
        name: _chosen(cases, method, shipped, arguments.families)
        for name, (method, shipped) in METHODS.items()
    }
    header = [
        "method",
        "threshold",
        "F1",
        "precision",
        "recall",
        "F1 as shipped",
        "first k",
        *arguments.families,
    ]
    rows = [
        [name, *(f"{found[key]:.3f}" if found[key] is not None else "" for key in list(found))]
        for name, found in results.items()
    ]
    print_table(f"{len(cases)} steps of {len(drawn)} validation problems", header, rows)
    results_with_size = {"problems": len(drawn), "steps": len(cases), "seconds": perf_counter() - began}
    write_record("premises_study", {**results_with_size, "methods": results}, directory=arguments.records)


def _problems(families: tuple[str, ...], seed: str) -> Iterator[Problem]:
    """Half easy, half standard, flawed ones among them."""
    easy = Mixture(families, steps=EASY_STEPS, kinds=FLAWED)
    standard = Mixture(families, level="standard", steps=STANDARD_STEPS, kinds=FLAWED)
    streams = [problems(mixture, split_name="validation", seed=seed) for mixture in (easy, standard)]
    while True:
        for stream in streams:
            yield next(stream)


def measure(session: LlamaSession, source: AttentionSource, problem: Problem) -> list[Case]:
    """Every step of the exact solution; none where the question's sentences are not the facts."""
    dialect: Dialect = shipped()["sage-pico"]
    spans = sentences(problem.question)
    if [problem.question[first:last] for first, last in spans[:-1]] != list(problem.facts):
        return []
    token_ids = plain_tokens(session.vocabulary, problem.solution)
    text, _ = text_ends(session.vocabulary, token_ids)
    prompt = make_prompt(session.vocabulary, dialect, [{"role": "user", "content": problem.question}])
    found = segments(text, dialect=dialect)
    with read_chain(session, prompt=prompt, token_ids=token_ids, segments=found, head=None) as read:
        evidence, sparing = (
            gather_evidence(
                session,
                read,
                question=problem.question,
                sentences=spans,
                attention=source,
                sparing=spares,
            )
            for spares in (False, True)
        )
    return [
        Case(
            problem.family,
            step.text,
            one.places,
            frozenset(
                i
                for i, place in enumerate(one.places)
                if place.index in (step.facts if place.source == "question" else step.steps)
            ),
            one,
            spared,
        )
        for step, one, spared in zip(problem.steps, evidence, sparing, strict=False)
    ]


def _chosen(
    cases: Sequence[Case],
    method: Callable[[Case], FloatArray],
    shipped: float | None,
    families: Sequence[str],
) -> dict[str, float | None]:
    """The best threshold, and what it gives."""
    scores = [method(case) for case in cases]
    every = np.concatenate(scores)
    candidates = np.unique(np.quantile(every, np.linspace(0.01, 0.995, THRESHOLDS)))
    threshold = max(candidates, key=lambda candidate: quality(cases, scores, candidate)[0])
    f1, precision, recall = quality(cases, scores, threshold)
    result: dict[str, float | None] = {
        "threshold": float(threshold),
        "f1": f1,
        "precision": precision,
        "recall": recall,
        "f1_shipped": quality(cases, scores, shipped)[0] if shipped is not None else None,
        "first_k": _first_k(cases, scores),
    }
    for family in families:
        own = [i for i, case in enumerate(cases) if case.family == family]
        of_family = quality([cases[i] for i in own], [scores[i] for i in own], threshold)
        result[f"f1_{family}"] = of_family[0] if own else None
    return result


def quality(
    cases: Sequence[Case], scores: Sequence[FloatArray], threshold: float
) -> tuple[float, float, float]:
    """F1, precision and recall of the premises above a threshold, all steps' pooled."""
    hits = named = true = 0
    for case, score in zip(cases, scores, strict=True):
        above = set(np.flatnonzero(score > threshold).tolist())
        hits += len(above & case.true)
        named += len(above)
        true += len(case.true)
    return 2 * hits / max(1, named + true), hits / max(1, named), hits / max(1, true)


def _first_k(cases: Sequence[Case], scores: Sequence[FloatArray]) -> float:
    """Share of true premises among the strongest, as many as a step truly has."""
    hits = sum(
        len(case.true & set(np.argsort(-score, kind="stable")[: len(case.true)].tolist()))
        for case, score in zip(cases, scores, strict=True)
    )
    return hits / max(1, sum(len(case.true) for case in cases))


if __name__ == "__main__":
    main()
