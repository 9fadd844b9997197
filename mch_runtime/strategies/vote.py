"""``vote``: several chains, and the answer that most of their weight is behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mch_runtime.errors import Interrupted
from mch_runtime.strategies.desk import Desk, Draft, Plan
from mch_runtime.strategies.outcome import Outcome, elected
from mch_runtime.strategies.selection import is_decided


@dataclass(frozen=True, kw_only=True)
class Waves:
    """How votes are drawn: ``first`` chains, then twice as many again and again, until the leader is ahead with
    probability ``stop_at``, by plain counts, where ``counts`` says so, and by weight.
    """

    first: int = 8
    stop_at: float = 0.99
    counts: bool = True


def vote(desk: Desk) -> Plan[Outcome]:
    """As many chains as are wanted, unless fewer decide."""
    drafts: list[Draft] = []
    try:
        yield from draw_votes(desk, drafts, Waves(stop_at=desk.settings.stop_at))
        measure_if_weighed(desk, drafts)
    except Interrupted:
        desk.end(drafts, "interrupted")
        return elected(desk, drafts, interrupted=True)
    return elected(desk, drafts)


def draw_votes(desk: Desk, drafts: list[Draft], waves: Waves) -> Plan[None]:
    """Add votes to ``drafts``, those that are there already included in what is wanted.

    They come in waves. Whether to go on is decided between two waves and not in the middle of one, so that it does
    not depend on how many chains happened to be written side by side. What the budget cuts off is no vote.
    """
    wanted = desk.effort.votes
    target = len(drafts)
    while target < wanted and not desk.overspent:
        target = min(wanted, max(waves.first, 2 * target) if _may_stop(desk, waves) else wanted)
        yield from _draw_wave(desk, drafts, target)
        if len(drafts) < target or _decided(desk, drafts, wanted, waves):
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


def _may_stop(desk: Desk, waves: Waves) -> bool:
    return waves.stop_at <= 1 or desk.effort.rule == "majority"


def _decided(desk: Desk, drafts: Sequence[Draft], wanted: int, waves: Waves) -> bool:
    remaining = wanted - len(drafts)
    settings = replace(desk.settings, stop_at=waves.stop_at)
    if waves.counts and not is_decided(desk.scored(drafts), remaining, "majority", settings):
        return False
    measure_if_weighed(desk, drafts)
    return is_decided(desk.scored(drafts), remaining, desk.effort.rule, settings)
