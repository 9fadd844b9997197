"""Samples made up so that their figures can be told in advance."""

from __future__ import annotations

import numpy as np

from mch_runtime.evaluation.problems import Problem
from mch_runtime.evaluation.samples import Answered, Chains, Sample, Setup
from mch_runtime.strategies.selection import Scored
from mch_runtime.trace import ModelInfo

MODEL = ModelInfo(name="tiny", file="/tiny.gguf", quantization="Q8_0", fingerprint="f" * 64, head="tiny-head")


def setup(**changes: object) -> Setup:
    given: dict[str, object] = {
        "task": "free",
        "title": "free answers",
        "task_sha256": "a" * 64,
        "instruction": "",
        "model": MODEL,
        "parameters": 1000,
        "modes": ("fast", "vote"),
        "votes": 8,
        "temperature": 0.8,
        "seed": 0,
        "max_tokens": None,
        "sage_version": "0",
    }
    return Setup(**given | changes)  # type: ignore[arg-type]


def problem(number: int, answer: str = "7") -> Problem:
    group = "easy" if number % 2 else "hard"
    return Problem(
        id=str(number),
        question=f"question {number}?",
        kind="text",
        answer=answer,
        group=group,
        depth=1 + number % 3,
    )


def answered(answer: str | None, *, confidence: float | None = 0.7, tokens: int = 30) -> Answered:
    return Answered(
        answer=answer,
        confidence=confidence,
        logprob_mean=-0.1,
        spoken=None,
        steps=2,
        valid=(0.9, 0.9) if confidence is not None else None,
        prompt_tokens=20,
        generated_tokens=tokens,
        scored_tokens=0,
        seconds=0.01,
    )


def chain(answer: str | None, *, good: float) -> Scored:
    """good: how well all that is measured of it speaks for it, 0 to 1."""
    return Scored(
        answer=answer,
        text=f"Answer: {answer}",
        logprob_sum=-3.0 + good,
        tokens=30,
        head=0.02 + 0.96 * good,
        head_logit=4 * good - 2,
        sound=0.02 + 0.96 * good,
        ics=0.4 * good,
        ics_min=-1 + good,
        bottom_window=5 + 5 * good,
    )


def sample(number: int, scored: tuple[Scored, ...], *, fast: str | None = "7", **changes: object) -> Sample:
    given: dict[str, object] = {
        "scored": scored,
        "spoken": (None,) * len(scored),
        "confidence": None,
        "prompt_tokens": 20,
        "question_tokens": 12,
        "scored_tokens": 200,
        "seconds": 0.04,
        "scoring_seconds": 0.02,
    }
    return Sample(
        problem=problem(number),
        modes={"fast": answered(fast, confidence=0.8 if fast == "7" else 0.3)},
        chains=Chains(**given | changes),  # type: ignore[arg-type]
    )


def random_samples(count: int = 60, *, votes: int = 8, seed: int = 0) -> list[Sample]:
    """Majorities that are often wrong, and measures that know better."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        right = rng.random(votes) < rng.choice([0.2, 0.45, 0.9])
        scored = tuple(
            chain("7" if one else "8", good=float(np.clip(rng.normal(0.8 if one else 0.3, 0.15), 0, 1)))
            for one in right
        )
        samples.append(sample(number, scored, fast="7" if right[0] else "8"))
    return samples
