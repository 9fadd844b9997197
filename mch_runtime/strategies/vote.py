"""``vote``: several chains, and the answer that most of their weight is behind."""

from __future__ import annotations

from collections.abc import Sequence

from mch_runtime.errors import Interrupted
from mch_runtime.strategies.desk import Desk, Draft, Plan
from mch_runtime.strategies.outcome import Outcome, elected
from mch_runtime.strategies.selection import is_decided

FIRST_WAVE = 8  # chains; each further wave doubles them


def vote(desk: Desk) -> Plan[Outcome]:
    """As many chains as are wanted, unless fewer decide."""
    drafts: list[Draft] = []
    try:
        yield from draw_votes(desk, drafts)
        measure_if_weighed(desk, drafts)
    except Interrupted:
        desk.end(drafts, "interrupted")
        return elected(desk, drafts, interrupted=True)
    return elected(desk, drafts)


def draw_votes(desk: Desk, drafts: list[Draft]) -> Plan[None]:
    """Add votes to ``drafts``, those that are there already included in what is wanted.

    They come in waves. Whether to go on is decided between two waves and not in the middle of one, so that it does
    not depend on how many chains happened to be written side by side. What the budget cuts off is no vote.
    """
    wanted = desk.effort.votes
    target = len(drafts)
    while target < wanted and not desk.overspent:
        target = min(wanted, max(FIRST_WAVE, 2 * target) if _may_stop(desk) else wanted)
        yield from _draw_wave(desk, drafts, target)
        if len(drafts) < target or _decided(desk, drafts, wanted):
            return


def measure_if_weighed(desk: Desk, drafts: Sequence[Draft]) -> None:
    """The consistency of the chains, where the rule wants it."""
    if desk.effort.weighs_ics or desk.effort.ics:
        desk.measure(drafts)


def _draw_wave(desk: Desk, drafts: list[Draft], target: int) -> Plan[None]:
    """Until there are ``target`` drafts and all have ended, or as many as the budget affords."""
    ended = -1
    while True:
        while len(drafts) < target and desk.affords():
            drafts.append(desk.draw())
        live = [draft for draft in drafts if not draft.row.ended]
        if len(drafts) - len(live) != ended:
            ended = len(drafts) - len(live)
            desk.case.drawn(ended, desk.effort.votes)
        if not live:
            return
        if desk.overspent:
            desk.end(live, "length")
            return
        yield


def _may_stop(desk: Desk) -> bool:
    return desk.settings.stop_at <= 1 or desk.effort.rule == "majority"


def _decided(desk: Desk, drafts: Sequence[Draft], wanted: int) -> bool:
    """First by plain counts, so that nothing is scored for a question that is open anyway."""
    remaining = wanted - len(drafts)
    if not is_decided(desk.scored(drafts), remaining, "majority", desk.settings):
        return False
    measure_if_weighed(desk, drafts)
    return is_decided(desk.scored(drafts), remaining, desk.effort.rule, desk.settings)
