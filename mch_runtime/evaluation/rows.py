"""The rows of a report: modes that were asked, and rules applied to the same sampled chains.

A row is a way of answering with, for every problem, whether it was right, how sure it was, and what it took.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mch_runtime.evaluation.metrics import Array
from mch_runtime.evaluation.samples import Answered, Chains, Sample
from mch_runtime.strategies.selection import Rule, Scored, Selection, SelectionSettings, chain_energy, select

PLAIN = "plain vote"
GUIDED = "head and ICS"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of answering the same n problems.

    right, (n,). confidence, (n,): a probability of being right, nan where there is none; calibrated: whether it is
    meant as one. score, (n,): what ranks answers by how likely they are right. tokens and seconds, (n,), with
    what it took to read chains again for their consistency where the rule asks for that.
    """

    name: str
    about: str
    right: NDArray[np.bool_]
    confidence: Array
    calibrated: bool
    score: Array
    tokens: Array
    seconds: Array


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A rule with what it is called. needs: what some chain must have for it to mean anything."""

    name: str
    about: str
    rule: Rule
    needs: Callable[[Scored], object] | None = None
    reads_again: bool = False


ABLATIONS = (
    Ablation(
        name=GUIDED,
        about="votes weighted by the head and by inverse consistency",
        rule="both",
        needs=lambda chain: chain.head is not None and chain.ics is not None,
        reads_again=True,
    ),
    Ablation(
        name="head off",
        about="votes weighted by inverse consistency alone",
        rule="ics",
        needs=lambda chain: chain.ics is not None,
        reads_again=True,
    ),
    Ablation(
        name="ICS off",
        about="votes weighted by the head alone",
        rule="head",
        needs=lambda chain: chain.head is not None,
    ),
    Ablation(name=PLAIN, about="both off: every chain has one vote", rule="majority"),
    Ablation(
        name="DeepConf",
        about="votes weighted by the confidence of a chain's weakest window, the least sure chains dropped",
        rule="deepconf",
        needs=lambda chain: chain.bottom_window is not None,
    ),
    Ablation(
        name="best log-prob.",
        about="the one chain of the highest mean log-probability",
        rule="best-logprob",
    ),
    Ablation(
        name="best energy",
        about="the one chain of the lowest energy: log-probability, head and consistency",
        rule="best-energy",
        needs=lambda chain: chain.ics is not None,
        reads_again=True,
    ),
)
MODES: Mapping[str, str] = {
    "fast": "one greedy chain",
    "vote": "the engine's own vote, which stops once it is decided",
    "think": "candidates and votes under a budget",
    "auto": "fast first, more where the head doubts",
}


def rows(samples: Sequence[Sample], settings: SelectionSettings) -> list[Row]:
    """All rows that the samples have data for, modes first. Every sample has the same modes."""
    found = [_of_mode(name, samples) for name in MODES if all(name in sample.modes for sample in samples)]
    drawn = [sample.chains for sample in samples if sample.chains is not None]
    if not samples or len(drawn) < len(samples):
        return found
    every = [chain for chains in drawn for chain in chains.scored]
    found += [
        _of_rule(ablation, samples, drawn, settings)
        for ablation in ABLATIONS
        if ablation.needs is None or any(ablation.needs(chain) for chain in every)
    ]
    if any(spoken is not None for chains in drawn for spoken in chains.spoken):
        found.append(_of_words(samples, drawn, settings))
    return found


def _of_mode(name: str, samples: Sequence[Sample]) -> Row:
    answers = [sample.modes[name] for sample in samples]
    confidence = _array([answered.confidence for answered in answers])
    known = bool(np.isfinite(confidence).all())
    return Row(
        name=name,
        about=MODES[name],
        right=_right(samples, [answered.answer for answered in answers]),
        confidence=confidence,
        calibrated=True,
        score=confidence if known else _array([_finite(answered) for answered in answers]),
        tokens=_array([float(answered.tokens) for answered in answers]),
        seconds=_array([answered.seconds for answered in answers]),
    )


def _finite(answered: Answered) -> float:
    return max(answered.logprob_mean, -1e6)


def _of_rule(
    ablation: Ablation, samples: Sequence[Sample], drawn: Sequence[Chains], settings: SelectionSettings
) -> Row:
    selections = [select(chains.scored, ablation.rule, settings) for chains in drawn]
    chosen = [chains.scored[one.chosen] for chains, one in zip(drawn, selections, strict=True)]
    calibrated = ablation.rule == "both" and all(chains.confidence is not None for chains in drawn)
    if calibrated:
        confidence = score = _array([chains.confidence for chains in drawn])
    elif ablation.rule == "best-logprob":
        confidence = score = np.exp(_array([chain.logprob_mean for chain in chosen]))
    elif ablation.rule == "best-energy":
        confidence, score = (
            _array([None] * len(drawn)),
            _array([-chain_energy(chain, settings) for chain in chosen]),
        )
    else:
        confidence = score = _array([selection.weighted_share for selection in selections])
    return Row(
        name=ablation.name,
        about=ablation.about,
        right=_right(samples, [selection.answer for selection in selections]),
        confidence=confidence,
        calibrated=calibrated,
        score=score,
        tokens=_array([_tokens(chains, again=ablation.reads_again) for chains in drawn]),
        seconds=_array([_seconds(chains, again=ablation.reads_again) for chains in drawn]),
    )


def _of_words(samples: Sequence[Sample], drawn: Sequence[Chains], settings: SelectionSettings) -> Row:
    """Votes weighted by what the chains say of themselves."""
    selections = [select(_speaking(chains), "head", replace(settings, head_weight=1.0)) for chains in drawn]
    said = [_said(chains, selection) for chains, selection in zip(drawn, selections, strict=True)]
    return Row(
        name="spoken confidence",
        about="votes weighted by the confidence that the chains state; ranked by what the answer's chains state in the mean",
        right=_right(samples, [selection.answer for selection in selections]),
        confidence=_array(said),
        calibrated=True,
        score=_array([-1.0 if value is None else value for value in said]),
        tokens=_array([_tokens(chains, again=False) for chains in drawn]),
        seconds=_array([_seconds(chains, again=False) for chains in drawn]),
    )


def _speaking(chains: Chains) -> list[Scored]:
    return [replace(one, head=said) for one, said in zip(chains.scored, chains.spoken, strict=True)]


def _said(chains: Chains, selection: Selection) -> float | None:
    """The mean that the chains of the chosen answer state."""
    values = [
        said
        for one, said in zip(chains.scored, chains.spoken, strict=True)
        if said is not None and one.answer == selection.answer
    ]
    return sum(values) / len(values) if values else None


def by_votes(samples: Sequence[Sample], rule: Rule, settings: SelectionSettings) -> list[tuple[int, float]]:
    """The share of right answers with the first 1, 2, 4 ... N chains."""
    drawn = [sample.chains.scored for sample in samples if sample.chains is not None]
    if not drawn or len(drawn) < len(samples):
        return []
    most = min(len(chains) for chains in drawn)
    counts = sorted({2**k for k in range(most.bit_length()) if 2**k <= most} | {most})
    curve = []
    for count in counts:
        answers = [select(chains[:count], rule, settings).answer for chains in drawn]
        curve.append((count, float(_right(samples, answers).mean())))
    return curve


def any_right(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Whether any of a problem's chains is right: what a perfect selection would reach."""
    return np.array(
        [
            sample.chains is not None
            and any(chain.answer == sample.problem.answer for chain in sample.chains.scored)
            for sample in samples
        ]
    )


def _right(samples: Sequence[Sample], answers: Sequence[str | None]) -> NDArray[np.bool_]:
    return np.array(
        [answer == s.problem.answer for s, answer in zip(samples, answers, strict=True)], dtype=bool
    )


def _tokens(chains: Chains, *, again: bool) -> float:
    written = sum(chain.tokens for chain in chains.scored)
    return float(chains.prompt_tokens + written + (chains.scored_tokens if again else 0))


def _seconds(chains: Chains, *, again: bool) -> float:
    return chains.seconds + (chains.scoring_seconds if again else 0.0)


def _array(values: Sequence[float | None]) -> Array:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
