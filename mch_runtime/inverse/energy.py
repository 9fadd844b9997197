"""The energy of a chain, or of a beginning of one: what is compared where roads are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

SMALLEST_PROBABILITY = 1e-6  # of a sound chain, so that energies stay finite


@dataclass(frozen=True, kw_only=True)
class EnergyWeights:
    """sound and ics: lambda_c and lambda_i, for a log-probability that is the mean or the sum over tokens."""

    sound: float
    ics: float


PER_TOKEN = EnergyWeights(sound=0.25, ics=0.25)  # for mean log-probabilities


def energy(
    *, logprob: float, sound: float | None, ics: float | None, weights: EnergyWeights = PER_TOKEN
) -> float:
    """E = -log P(z | x) - lambda_c log c_sound - lambda_i ICS, in nats; lower is better.

    logprob: the mean or the sum, as the weights want it. A term that was not measured is left out, for all of the
    roads that are compared. See ``docs/head-format.md``, section 4.
    """
    value = -logprob
    if sound is not None:
        value -= weights.sound * math.log(max(sound, SMALLEST_PROBABILITY))
    if ics is not None:
        value -= weights.ics * ics
    return value
