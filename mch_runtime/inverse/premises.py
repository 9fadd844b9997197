"""What each step rests on, found in two ways: by attention, and by taking things away.

Both measures are turned into shares among a step's possible premises; the joint one is their geometric
mean, high only where both are. A share above its threshold names a premise. The thresholds were chosen on
validation problems, where the task generators know the true premises: ``python -m benchmarks.premises_study``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mch_runtime.attention import AttentionSource
from mch_runtime.explanation import Premise
from mch_runtime.inverse.ablation import Ablation, ablate, mean_loss
from mch_runtime.inverse.flow import measure_flow
from mch_runtime.inverse.reading import Read
from mch_runtime.inverse.sources import Place, content, find_places
from mch_runtime.session import FloatArray, Session

ATTENTION_SHARE = 0.19
ABLATION_SHARE = 0.2
JOINT_SHARE = 0.175
# Losses differ by orders of magnitude, and a step that is impossible without one premise may well have two.
LOSS_SCALE = 0.25  # nats per token
# No place below can be named: its joint share would stay under the threshold even if nothing else were lost.
LEAST_ATTENTION = JOINT_SHARE**2


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The measures of a step's possible premises, none for those that do not come before it.

    places: the possible premises; attention: (n,) shares, None without attention; ablation: (n,) nats per token.
    """

    step: int
    places: tuple[Place, ...]
    attention: FloatArray | None
    ablation: FloatArray

    @property
    def ablation_share(self) -> FloatArray:
        """(n,) shares of the losses' logarithms."""
        return shares(np.log1p(self.ablation / np.float32(LOSS_SCALE)))

    @property
    def joint(self) -> FloatArray:
        """(n,) shares; ablation's alone without attention."""
        if self.attention is None:
            return self.ablation_share
        joint: FloatArray = np.sqrt(self.attention * self.ablation_share)
        return joint


def find_premises(
    session: Session,
    read: Read,
    *,
    question: str,
    sentences: Sequence[tuple[int, int]],
    attention: AttentionSource | None = None,
) -> tuple[Premise, ...]:
    """The premises of every step, strongest first within a step.

    sentences: [start, end) in the question. Without ``attention`` only ablation is measured. Raises ResourceError and
    Interrupted as the session and the source do.
    """
    found = gather_evidence(
        session, read, question=question, sentences=sentences, attention=attention, sparing=True
    )
    return tuple(premise for evidence in found for premise in _named(evidence))


def gather_evidence(
    session: Session,
    read: Read,
    *,
    question: str,
    sentences: Sequence[tuple[int, int]],
    attention: AttentionSource | None = None,
    sparing: bool = False,
) -> list[Evidence]:
    """Both measures for every step and everything before it.

    sparing: a place is taken away only from the steps up to the last that looks at it enough to be able to
    rest on it; behind that its loss counts as 0.
    """
    places = find_places(session.vocabulary, read, question=question, sentences=sentences)
    contents = [content(read, step) for step in range(len(read.steps))]
    flow: FloatArray | None = None
    if attention is not None:
        token_ids = [*read.prompt.token_ids, *read.token_ids]
        flow = measure_flow(attention, token_ids, steps=contents, places=[place.tokens for place in places])
        # A model may have no attention that could be seen.
        flow = flow if flow.any() else None
    before = [
        [i for i, place in enumerate(places) if place.source == "question" or place.index < step]
        for step in range(len(contents))
    ]
    seen = None if flow is None else _seen(flow, before)
    lost = _losses(session, read, places, contents, _last_steps(seen) if sparing else None)
    return [
        Evidence(
            step=step,
            places=tuple(places[i] for i in earlier),
            attention=None if seen is None else seen[step, earlier],
            ablation=lost[step, earlier],
        )
        for step, earlier in enumerate(before)
    ]


def _seen(flow: FloatArray, before: Sequence[Sequence[int]]) -> FloatArray:
    """The flow (steps, places) as shares of what comes before each step."""
    seen = np.zeros_like(flow)
    for step, earlier in enumerate(before):
        seen[step, earlier] = shares(flow[step, earlier])
    return seen


def _last_steps(seen: FloatArray | None) -> list[int] | None:
    """For each place the last step that looks at it enough, -1 if none does; None without attention."""
    if seen is None:
        return None
    return [int(np.flatnonzero(column >= LEAST_ATTENTION).max(initial=-1)) for column in seen.T]


def shares(weights: FloatArray) -> FloatArray:
    """Weights (n,) divided by their sum; zeros stay zeros."""
    total = float(weights.sum())
    return weights / np.float32(total) if total > 0 else np.zeros_like(weights)


def _losses(
    session: Session,
    read: Read,
    places: Sequence[Place],
    contents: Sequence[tuple[int, int]],
    last_steps: Sequence[int] | None,
) -> FloatArray:
    """(steps, places) nats per token that a step loses without a place; 0 where it comes first.

    last_steps: for each place, the last step to be scored without it; None for all.
    """
    lost = np.zeros((len(contents), len(places)), dtype=np.float32)
    chain = len(read.prompt.token_ids)
    asked: dict[int, Ablation] = {}
    for i, place in enumerate(places):
        last = len(contents) - 1 if last_steps is None else last_steps[i]
        # Nothing is lost where nothing is taken away, or nothing comes behind.
        if last >= 0 and place.tokens[0] < place.tokens[1] <= contents[last][0]:
            asked[i] = Ablation(removed=(place.tokens,), until=contents[last][1])
    losses = ablate(session, read, list(asked.values()))
    for (i, ablation), tokens in zip(asked.items(), losses, strict=True):
        for step, (first, last) in enumerate(contents):
            if places[i].tokens[1] <= first and last <= ablation.until:
                lost[step, i] = mean_loss(tokens[first - chain : last - chain])
    return lost


def _named(evidence: Evidence) -> list[Premise]:
    joint = evidence.joint
    threshold = ABLATION_SHARE if evidence.attention is None else JOINT_SHARE
    order = [int(i) for i in np.argsort(-joint, kind="stable") if joint[i] > threshold]
    return [_premise(evidence, i) for i in order]


def _premise(evidence: Evidence, i: int) -> Premise:
    place = evidence.places[i]
    attention = None if evidence.attention is None else float(evidence.attention[i])
    agreed = None
    if attention is not None:
        agreed = attention > ATTENTION_SHARE and float(evidence.ablation_share[i]) > ABLATION_SHARE
    return Premise(
        step=evidence.step,
        source=place.source,
        index=place.index,
        span=place.span,
        text=place.text,
        attention=attention,
        ablation=float(evidence.ablation[i]),
        agreed=agreed,
    )
