"""``think`` and what it has in common with ``auto``: a chain, other steps where it is in doubt, then votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mch_runtime.errors import Interrupted
from mch_runtime.strategies.candidates import look_ahead
from mch_runtime.strategies.desk import Desk, Draft, Plan
from mch_runtime.strategies.doubt import answer_doubt, doubtful_step, step_doubt
from mch_runtime.strategies.outcome import Outcome, alone, elected
from mch_runtime.strategies.selection import answer_key
from mch_runtime.strategies.vote import draw_votes, measure_if_weighed
from mch_runtime.trace import Escalation

ALWAYS = 2.0  # above every probability


def think(desk: Desk) -> Plan[Outcome]:
    """Look ahead wherever there is some doubt, and then let votes decide in any case."""
    return (yield from deliberate(desk, below=ALWAYS))


def deliberate(desk: Desk, *, below: float) -> Plan[Outcome]:
    """One chain first, and that is all if its answer is at least as likely right as ``below``. Otherwise other steps are tried
    at each of its steps that is in doubt, and then votes are drawn.
    """
    fast = desk.draw(desk.case.options.sampling, keep=True)
    current = fast
    drafts: list[Draft] = [fast]
    escalations: list[Escalation] = []
    try:
        yield from desk.wait([fast])
        doubt = answer_doubt(desk, fast)
        if doubt.probability >= below:
            return _alone(desk, fast, fast, escalations)
        in_doubt = desk.settings.look_ahead_below
        place = doubtful_step(current, 0, below=in_doubt)
        while place is not None and current.complete and desk.affords(desk.settings.candidates):
            found = yield from look_ahead(desk, current, place, step_doubt(current, place).words)
            escalations.append(found.escalation)
            current = found.chosen
            place = doubtful_step(current, place + 1, below=in_doubt)
        if not desk.affords():
            return _alone(desk, current, fast, escalations)
        doubt = answer_doubt(desk, current)
        spent = desk.generated_tokens + desk.scored_tokens
        drafts = [current]
        desk.free(desk.drafts)
        yield from draw_votes(desk, drafts)
        measure_if_weighed(desk, drafts)
    except Interrupted:
        desk.end(desk.drafts, "interrupted")
        return elected(
            desk,
            drafts if len(drafts) > 1 else [current],
            fast=fast,
            escalations=escalations,
            interrupted=True,
        )
    outcome = elected(desk, drafts, fast=fast)
    escalations.append(_voted(desk, current, outcome, doubt.words, spent))
    return replace(outcome, escalations=tuple(escalations))


def _alone(desk: Desk, draft: Draft, fast: Draft, escalations: Sequence[Escalation]) -> Outcome:
    if desk.effort.ics:
        desk.measure([draft])
    return alone(desk, draft, fast=fast, escalations=escalations)


def _voted(desk: Desk, current: Draft, outcome: Outcome, reason: str, spent: int) -> Escalation:
    before, after = desk.answer(current), desk.answer(outcome.chosen)
    return Escalation(
        step=None,
        action="vote",
        reason=reason,
        before=before,
        after=after,
        changed=_key(before) != _key(after),
        what_if=None,
        tokens=desk.generated_tokens + desk.scored_tokens - spent,
    )


def _key(answer: str | None) -> str | None:
    return None if answer is None else answer_key(answer)
