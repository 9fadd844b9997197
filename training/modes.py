"""The confidence of the modes that draw several chains, fitted on validation problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mch_runtime.engine import Engine
from mch_runtime.fitting import modes
from mch_runtime.head.spec import Head
from mch_runtime.options import EngineOptions
from mch_runtime.strategies.confidence import FEATURES
from training.problems import Problem
from training.traces import MAX_TOKENS


def calibrate_modes(model: Path, head: Head, problems: Sequence[Problem], *, seed: int) -> Head:
    """The head with a calibrator for every mode that has features of its own; ``model`` has the head in it."""
    with Engine.open(EngineOptions(model=model).side_by_side(modes.ROWS)) as engine:
        for mode in FEATURES:
            measured = list(
                modes.answer(
                    engine,
                    [problem.question for problem in problems],
                    mode=mode,
                    max_tokens=MAX_TOKENS,
                    seed=seed,
                    is_right=lambda place, trace: trace.answer == problems[place].answer,
                )
            )
            head = modes.calibrated(head, mode, measured)
            right = sum(one.right for one in measured)
            print(f"{mode}: {right} of {len(measured)} right, {head.spec.calibration[mode]}", flush=True)
    return head
