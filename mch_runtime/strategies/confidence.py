"""P(the answer is right), mode by mode: each has a calibrator of its own, stored with the head.

``fast``, and ``auto`` where it stayed with its first chain: the head's ``answer`` channel. Whether ``auto`` stays is
decided by that very number, so that what it says about all chains holds for those that stay. ``vote``
and ``think``: what :func:`selection_features` measures. ``auto`` where it went on: the same, and the first chain's logit, because
the questions that get so far are no fair sample. See ``docs/head-format.md``, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mch_runtime.effort import Effort, SelectionSettings
from mch_runtime.head.confidence import calibrate
from mch_runtime.head.spec import Head
from mch_runtime.strategies.outcome import Outcome
from mch_runtime.strategies.selection import selection_features
from mch_runtime.trace import Mode

FAST_LOGIT = "fast_logit"
_VOTES = ("weighted_share", "share", "answer_logit_mean", "ics_margin", "n")
# What the calibrators of these modes are to be fitted on, see ``mch_runtime.head.calibration``.
FEATURES: Mapping[Mode, tuple[str, ...]] = {
    "vote": _VOTES,
    "think": (*_VOTES, FAST_LOGIT),
    "auto": (*_VOTES, FAST_LOGIT),
}


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """value: calibrated on ``basis``, None where that is not known; raw: the uncalibrated number all the same."""

    value: float | None
    basis: str | None
    raw: float | None


def confidence_of(outcome: Outcome, effort: Effort, head: Head | None, *, trusted: bool) -> Confidence:
    """The confidence of an outcome. trusted: the head's numbers mean what they say for this question."""
    if outcome.selection is None:
        return _of_one_chain(outcome, head, trusted=trusted)
    raw = outcome.selection.weighted_share
    basis: Mode = effort.mode
    calibrator = head.spec.calibration.get(basis) if head is not None else None
    features = outcome_features(outcome)
    cut = outcome.interrupted or any(draft.chain.is_cut for draft in outcome.drafts)
    able = trusted and not cut and outcome.selection.answer is not None
    if (
        calibrator is None
        or not able
        or not is_usual(effort)
        or not set(calibrator.features) <= set(features)
    ):
        return Confidence(value=None, basis=None, raw=raw)
    return Confidence(value=calibrate(calibrator, features), basis=basis, raw=raw)


def outcome_features(outcome: Outcome) -> dict[str, float]:
    """What a calibrator may ask for by name; what was not measured is left out. {} where nothing was selected."""
    if outcome.selection is None:
        return {}
    features = selection_features(outcome.chains, outcome.selection)
    fast = outcome.fast
    if fast is not None and fast.witness is not None and "answer" in fast.witness.logits:
        features[FAST_LOGIT] = fast.witness.logits["answer"]
    return features


def is_usual(effort: Effort) -> bool:
    """Whether chains are weighed as they were when the calibrators were fitted."""
    return effort.rule == Effort().rule and effort.settings == SelectionSettings()


def _of_one_chain(outcome: Outcome, head: Head | None, *, trusted: bool) -> Confidence:
    chosen = outcome.chosen
    raw = chosen.witness.answer_confidence("fast") if chosen.witness is not None else None
    is_first = outcome.fast is chosen and not outcome.escalations
    has_basis = head is not None and "fast" in head.spec.calibration
    whole = chosen.complete and not chosen.chain.is_cut
    known = raw is not None and is_first and has_basis and trusted and whole
    return Confidence(value=raw if known else None, basis="fast" if known else None, raw=raw)
