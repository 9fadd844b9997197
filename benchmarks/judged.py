"""What the head says of a recorded chain's steps, as a user would see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mch_runtime.evaluation.metrics import Array
from mch_runtime.head.confidence import channel_confidences, step_features
from mch_runtime.head.spec import Head
from training.traces import Sampled


def features_of(head: Head, one: Sampled, logits: Array) -> list[dict[str, float]]:
    """What the head's calibrators are shown at each step's end; logits: (n_steps, K)."""
    statistics = one.recorder.features_for(head.spec.statistics)[one.recorder.step_ends]
    return [step_features(head.spec, *pair) for pair in zip(logits, statistics, strict=True)]


def confidences_of(head: Head, one: Sampled, features: Sequence[Mapping[str, float]]) -> Array:
    """The channels (n_steps, K) as a user sees them, given what the calibrators are shown."""
    last, ended = len(features) - 1, one.chain.finish_reason == "stop"
    told = [channel_confidences(head.spec, row, ended=ended and k == last) for k, row in enumerate(features)]
    return np.array([list(channels.values()) for channels in told])
