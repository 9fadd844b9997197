"""The confidence of the modes that draw several chains: their calibrators, fitted on questions set aside for it.

Each mode answers the same questions through the runtime as a user would have it do; whether its answer is right is
then explained by what the mode measures anyway (``mch_runtime/strategies/confidence.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mch_runtime.answering import Answered, Question
from mch_runtime.effort import Effort
from mch_runtime.engine import Engine
from mch_runtime.errors import Interrupted
from mch_runtime.head.calibration import fit_calibrator, with_calibrator
from mch_runtime.head.spec import Head
from mch_runtime.options import AskOptions, SamplingOptions
from mch_runtime.strategies.confidence import FEATURES
from mch_runtime.trace import Mode, Trace

VOTES = (4, 8, 16)  # in turn, since a calibrator has to hold for any number of them
ROWS = 16


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a mode measured of its answer to the question ``place``, and whether that was right."""

    place: int
    features: Mapping[str, float]
    right: bool


def answer(
    engine: Engine,
    questions: Sequence[str],
    *,
    mode: Mode,
    max_tokens: int,
    seed: int,
    is_right: Callable[[int, Trace], bool],
    places: Sequence[int] | None = None,
) -> Iterator[Measured]:
    """Each question's answer in this mode. places: of those to ask, None for all.

    Where the mode did not choose among chains there are no features. One that was interrupted is left out.
    """
    asked = range(len(questions)) if places is None else places
    stream = (
        Question(
            text=questions[place],
            options=AskOptions(
                max_tokens=max_tokens,
                sampling=SamplingOptions(seed=(seed + place) % 2**32),
                effort=Effort(mode=mode, votes=VOTES[place % len(VOTES)]),
            ),
        )
        for place in asked
    )
    for answered in engine.answers(stream):
        place = asked[answered.place]
        trace = answered.trace
        cut = trace is not None and trace.finish_reason == "interrupted"
        if cut or isinstance(answered.error, Interrupted):
            continue
        yield Measured(
            place=place,
            features=answered.features if _measured(answered, mode) else {},
            right=trace is not None and is_right(place, trace),
        )


def _measured(answered: Answered, mode: Mode) -> bool:
    return answered.trace is not None and set(FEATURES[mode]) <= set(answered.features)


def calibrated(head: Head, mode: Mode, measured: Sequence[Measured]) -> Head:
    """The head with a calibrator for the mode. Raises UsageError without right and wrong answers that were voted for."""
    voted = [one for one in measured if one.features]
    samples = [one.features for one in voted]
    return with_calibrator(head, mode, fit_calibrator(samples, [one.right for one in voted], FEATURES[mode]))
