"""The confidence of the modes that draw several chains: their calibrators, fitted on validation problems.

Each mode answers the same problems through the runtime as a user would have it do; whether its answer is right is
then explained by what the mode measures anyway (``mch_runtime/strategies/confidence.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mch_runtime.answering import Question
from mch_runtime.effort import Effort
from mch_runtime.engine import Engine
from mch_runtime.head.calibration import fit_calibrator, with_calibrator
from mch_runtime.head.spec import Head
from mch_runtime.options import AskOptions, EngineOptions, SamplingOptions
from mch_runtime.strategies.confidence import FEATURES
from mch_runtime.trace import Mode
from training.problems import Problem
from training.traces import MAX_TOKENS

VOTES = (4, 8, 16)  # in turn, since a calibrator has to hold for any number of them
ROWS = 16


def calibrate_modes(model: Path, head: Head, problems: Sequence[Problem], *, seed: int) -> Head:
    """The head with a calibrator for every mode that has features of its own; ``model`` has the head in it."""
    for mode, names in FEATURES.items():
        samples, right = answer(model, problems, mode=mode, seed=seed)
        head = with_calibrator(head, mode, fit_calibrator(samples, right, names))
        print(f"{mode}: {sum(right)} of {len(right)} right, {head.spec.calibration[mode]}", flush=True)
    return head


def answer(
    model: Path, problems: Sequence[Problem], *, mode: Mode, seed: int
) -> tuple[list[Mapping[str, float]], list[bool]]:
    """What the mode measured where it chose among chains, and whether the answer was right."""
    questions = (
        Question(
            text=problem.question,
            options=AskOptions(
                max_tokens=MAX_TOKENS,
                sampling=SamplingOptions(seed=seed + place),
                effort=Effort(mode=mode, votes=VOTES[place % len(VOTES)]),
            ),
        )
        for place, problem in enumerate(problems)
    )
    samples: list[Mapping[str, float]] = []
    right: list[bool] = []
    with Engine.open(EngineOptions(model=model).side_by_side(ROWS)) as engine:
        for answered in engine.answers(questions):
            if answered.trace is not None and set(FEATURES[mode]) <= set(answered.features):
                samples.append(answered.features)
                right.append(answered.trace.answer == problems[answered.place].answer)
    return samples, right
