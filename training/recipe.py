"""The stages that make sage-pico's weights, one after the other; each can be left out.

``base`` to ``full`` teach the language, ``negatives`` to tell right steps from wrong ones,
``reflection`` to take a wrong step back, ``preference`` (:mod:`training.preference`) to prefer its own
right answers to its own wrong ones. A stage goes on from the weights of the latest stage before it, or of
the one it is told to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from training.curriculum import BASE, FULL, LAST, LOOKUP, SERVED, Phase
from training.dialect import Mix


@dataclass(frozen=True)
class Stage:
    """A stretch of next-token training. peak_lr, warmup, decay: see ``PretrainConfig``."""

    phases: tuple[Phase, ...]
    mix: Mix
    tokens: int
    peak_lr: float
    warmup: float
    decay: float


_MIX = Mix(forward=0.58, forced=0.06, inverse=0.28)
_LOOKUP_MIX = Mix(forward=0.72, forced=0.05, inverse=0.13, recall=0.07)

STAGES: Mapping[str, Stage] = {
    "base": Stage(BASE, _MIX, tokens=18_000_000, peak_lr=3e-3, warmup=0.02, decay=0.0),
    "casual": Stage(SERVED, _MIX, tokens=5_500_000, peak_lr=3e-3, warmup=0.08, decay=0.0),
    "flaws": Stage(FULL, _MIX, tokens=6_000_000, peak_lr=3e-3, warmup=0.05, decay=0.0),
    "lookup": Stage(LOOKUP, _LOOKUP_MIX, tokens=9_500_000, peak_lr=2.5e-3, warmup=0.05, decay=0.0),
    "full": Stage(
        (replace(LOOKUP[0], share=0.5), replace(FULL[0], share=0.23), replace(LAST[0], share=0.27)),
        Mix(forward=0.60, forced=0.04, inverse=0.13, recall=0.18),
        tokens=48_000_000,
        peak_lr=2.5e-3,
        warmup=0.01,
        decay=0.6,
    ),
    "negatives": Stage(
        FULL,
        Mix(forward=0.40, forced=0.04, inverse=0.20, check=0.32),
        tokens=5_000_000,
        peak_lr=6e-4,
        warmup=0.02,
        decay=0.9,
    ),
    "reflection": Stage(
        FULL,
        Mix(forward=0.40, forced=0.04, inverse=0.20, check=0.06, reflection=0.26),
        tokens=6_000_000,
        peak_lr=6e-4,
        warmup=0.02,
        decay=0.9,
    ),
}
PREFERENCE = "preference"
ORDER = (*STAGES, PREFERENCE)


def checkpoint(folder: Path, stage: str) -> Path:
    """Where a stage keeps its weights."""
    return folder / stage / "checkpoint.pt"


def corpus(folder: Path, stage: str) -> Path:
    """Where a stage's examples are."""
    return folder / f"corpus-{stage}.npz"


def start(folder: Path, stage: str, chosen: str | None) -> Path | None:
    """The weights a stage begins with: those of a chosen stage, else of the latest before it."""
    return checkpoint(folder, chosen) if chosen else latest(folder, before=stage)


def latest(folder: Path, *, before: str | None = None) -> Path | None:
    """The weights of the last stage that was trained, of those before one if it is named."""
    names = ORDER if before is None else ORDER[: ORDER.index(before)]
    found = [checkpoint(folder, name) for name in names if checkpoint(folder, name).exists()]
    return found[-1] if found else None
