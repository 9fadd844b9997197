"""The head as a chain's witness: sees every token, speaks at step ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

from mch_runtime.head.network import HeadRun
from mch_runtime.head.spec import Calibrator, Head
from mch_runtime.session import FloatArray
from mch_runtime.statistics import FeatureTrack, TokenStatistics


class HeadWitness:
    """Runs a head over one chain.

    calibrated: asked at every step's end; False keeps the confidences to the head itself.
    seconds: time spent in the head, token statistics not included.
    """

    def __init__(self, head: Head, *, calibrated: Callable[[], bool]) -> None:
        self.seconds = 0.0
        self._head = head
        self._run = HeadRun(head)
        self._track = FeatureTrack(head.spec.statistics)
        self._calibrated = calibrated
        self._states: list[FloatArray] = []  # of the step being written
        self._tokens: list[TokenStatistics] = []  # one fewer in the first step: the prompt's last has none
        self._raw: dict[str, float] = {}
        self._channels: dict[str, float] = {}

    def push(self, hidden: FloatArray, statistics: TokenStatistics | None) -> None:
        self._states.append(hidden.copy())
        if statistics is not None:
            self._tokens.append(statistics)

    def judge(self) -> dict[str, float] | None:
        began = perf_counter()
        logits = self._step()
        names = self._head.spec.channels
        self._raw = dict(zip(names, map(float, logits), strict=True))
        self._channels = dict(zip(names, map(float, self._run.calibrate(logits)), strict=True))
        self.seconds += perf_counter() - began
        return dict(self._channels) if self._calibrated() else None

    def _step(self) -> FloatArray:
        """Raw channel logits (K,) behind the tokens that have come since the last step's end."""
        states, tokens = self._states, self._tokens
        self._states, self._tokens = [], []
        if len(states) > len(tokens):
            self._run.push(states[0], self._track.push(None))
        if tokens:
            features = self._track.step(tokens)
            for state, row in zip(states[-len(tokens) :], features, strict=True):
                self._run.push(state, row)
        return self._run.logits()

    @property
    def channels(self) -> dict[str, float]:
        """The channels at the last step's end, calibrated or not; empty before the first."""
        return dict(self._channels)

    @property
    def logits(self) -> dict[str, float]:
        """The channels at the last step's end before any scaling; empty before the first."""
        return dict(self._raw)

    def answer_confidence(self, mode: str) -> float | None:
        """P(the answer is right) by the mode's calibrator, else by the ``answer`` channel itself.

        None if no step has ended or the head has no such channel.
        """
        if "answer" not in self._raw:
            return None
        calibrator = self._head.spec.calibration.get(mode)
        if calibrator is None:
            return self._channels["answer"]
        return calibrate(calibrator, {"answer_logit": self._raw["answer"]})


def calibrate(calibrator: Calibrator, features: dict[str, float]) -> float:
    """A calibrator's probability for named features. Raises KeyError for a feature that is missing."""
    weighted = zip(calibrator.weight, calibrator.features, strict=True)
    score = calibrator.bias + sum(weight * features[name] for weight, name in weighted)
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))
