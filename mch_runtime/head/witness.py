"""The head as a chain's witness: sees every token, speaks at step ends."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from mch_runtime.head.confidence import LOGIT, calibrate, channel_confidences, step_features
from mch_runtime.head.network import HeadRun
from mch_runtime.head.spec import Head
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
        self._features: dict[str, float] = {}
        self._channels: dict[str, float] = {}

    def push(self, hidden: FloatArray, statistics: TokenStatistics | None) -> None:
        self._states.append(hidden.copy())
        if statistics is not None:
            self._tokens.append(statistics)

    def judge(self, *, ended: bool) -> dict[str, float] | None:
        began = perf_counter()
        logits, statistics = self._step()
        self._features = step_features(self._head.spec, logits, statistics)
        self._channels = channel_confidences(self._head.spec, self._features, ended=ended)
        self.seconds += perf_counter() - began
        return dict(self._channels) if self._calibrated() else None

    def _step(self) -> tuple[FloatArray, FloatArray]:
        """Raw channel logits (K,) behind the tokens that have come since the last step's end, and the statistics (n_s,)
        of the last of them.
        """
        states, tokens = self._states, self._tokens
        self._states, self._tokens = [], []
        last = None
        if len(states) > len(tokens):
            last = self._track.push(None)
            self._run.push(states[0], last)
        if tokens:
            features = self._track.step(tokens)
            for state, row in zip(states[-len(tokens) :], features, strict=True):
                self._run.push(state, row)
            last = features[-1]
        logits = self._run.logits()  # raises ValueError where nothing was pushed
        assert last is not None
        return logits, last

    @property
    def channels(self) -> dict[str, float]:
        """The channels at the last step's end, calibrated or not; empty before the first."""
        return dict(self._channels)

    @property
    def logits(self) -> dict[str, float]:
        """The channels at the last step's end before any scaling; empty before the first."""
        names = self._head.spec.channels if self._features else ()
        return {name: self._features[f"{name}{LOGIT}"] for name in names}

    def answer_confidence(self, mode: str) -> float | None:
        """P(the answer is right) by the mode's calibrator, else by the ``answer`` channel itself.

        None if no step has ended or the head has no such channel.
        """
        if "answer" not in self._channels:
            return None
        calibrator = self._head.spec.calibration.get(mode)
        return calibrate(calibrator, self._features) if calibrator else self._channels["answer"]
