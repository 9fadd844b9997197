"""What a strategy comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mch_runtime.strategies.desk import Desk, Draft
from mch_runtime.strategies.selection import Scored, Selection, select
from mch_runtime.trace import Escalation


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The draft that answers the question.

    fast: the draft that was written first, in modes that begin with one. drafts: those that were chosen from, and what
    is known of them; selection: by what, None where there was nothing to choose. interrupted: what was to follow is missing.
    """

    chosen: Draft
    fast: Draft | None = None
    drafts: tuple[Draft, ...] = ()
    chains: tuple[Scored, ...] = ()
    selection: Selection | None = None
    escalations: tuple[Escalation, ...] = ()
    interrupted: bool = False


def alone(
    desk: Desk,
    draft: Draft,
    *,
    fast: Draft | None = None,
    escalations: Sequence[Escalation] = (),
    interrupted: bool = False,
) -> Outcome:
    """One draft, not chosen among others."""
    return Outcome(
        chosen=draft,
        fast=fast,
        drafts=(draft,),
        chains=tuple(desk.scored([draft])),
        escalations=tuple(escalations),
        interrupted=interrupted,
    )


def elected(
    desk: Desk,
    drafts: Sequence[Draft],
    *,
    fast: Draft | None = None,
    escalations: Sequence[Escalation] = (),
    interrupted: bool = False,
) -> Outcome:
    """The draft that speaks for the answer which the finished ones come to; if none has finished, the longest."""
    finished = [draft for draft in drafts if draft.chain.finish_reason in {"stop", "length"}]
    if interrupted:  # what it has cut off is no vote
        finished = [draft for draft in finished if draft.complete]
    if not finished:
        longest = max(drafts, key=lambda draft: len(draft.chain.token_ids))
        return alone(desk, longest, fast=fast, escalations=escalations, interrupted=interrupted)
    chains = desk.scored(finished)
    selection = select(chains, desk.effort.rule, desk.settings)
    return Outcome(
        chosen=finished[selection.chosen],
        fast=fast,
        drafts=tuple(finished),
        chains=tuple(chains),
        selection=selection,
        escalations=tuple(escalations),
        interrupted=interrupted,
    )
