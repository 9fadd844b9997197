"""Other next steps for one that is in doubt, followed to their ends and compared there."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mch_runtime.strategies.desk import Desk, Draft, Plan
from mch_runtime.strategies.selection import answer_key, chain_energy
from mch_runtime.trace import Escalation


@dataclass(frozen=True, kw_only=True)
class LookAhead:
    """The draft to go on with, whose chain is written to its end, and what the trace says about it."""

    chosen: Draft
    escalation: Escalation


def look_ahead(desk: Desk, draft: Draft, place: int, reason: str) -> Plan[LookAhead]:
    """Reconsider the step ``place`` of a draft that has ended and was kept.

    Other steps are drawn in its place; those that say the same are dropped. Every one that is left is followed to
    the end of its chain, and the one with the lowest energy there is chosen.
    """
    spent = desk.generated_tokens + desk.scored_tokens
    step = draft.chain.steps[place]
    drawn = [
        desk.draw(behind=draft, tokens=step.tokens[0], steps=place + 1, keep=True)
        for _ in range(desk.settings.candidates - 1)
    ]
    yield from desk.wait(drawn)
    others = _distinct(desk, draft, drawn, place)
    roads: dict[int, list[Draft]] = {0: [draft]} | {n: [other] for n, other in enumerate(others, start=1)}
    for number, beginning in enumerate([draft, *others]):
        for _ in range(desk.settings.rollouts - 1):
            behind = beginning.chain.steps[place].tokens[1]
            roads[number].append(desk.draw(behind=beginning, tokens=behind, keep=True))
    for other in others:
        other.row.steps = None
    written = [one for road in roads.values() for one in road]
    yield from desk.wait(written)
    desk.end([one for one in written if not one.row.ended], "length")
    if desk.effort.weighs_ics:
        desk.measure(written)
    found = _compared(desk, draft, place, roads, reason, spent)
    desk.free([one for one in written if one is not found.chosen])
    return found


def _distinct(desk: Desk, draft: Draft, drawn: Sequence[Draft], place: int) -> list[Draft]:
    """One of each step that is not the draft's own; all others are ended."""
    seen = {_said(draft, place)}
    kept: list[Draft] = []
    for other in drawn:
        said = _said(other, place)
        if said is not None and said not in seen:
            seen.add(said)
            kept.append(other)
    desk.end([other for other in drawn if other not in kept], "length")
    return kept


def _said(draft: Draft, place: int) -> str | None:
    """The step without spacing, case and closing punctuation; None if the draft has not come so far."""
    if place >= len(draft.chain.steps):
        return None
    return "".join(draft.chain.steps[place].text.split()).casefold().strip(".,;:!")


def _compared(
    desk: Desk, draft: Draft, place: int, roads: dict[int, list[Draft]], reason: str, spent: int
) -> LookAhead:
    written = [one for road in roads.values() for one in road]
    energies = dict(
        zip(written, (chain_energy(one, desk.settings) for one in desk.scored(written)), strict=True)
    )
    values: dict[int, float] = defaultdict(lambda: math.inf)
    for number, road in roads.items():
        values[number] = min((energies[one] for one in road if one.complete), default=math.inf)
    best, *rest = sorted(roads, key=lambda number: (values[number], number))
    chosen = min(roads[best], key=lambda one: (not one.complete, energies[one]))
    fallback = next((roads[n][0] for n in rest if values[n] < math.inf), None)
    before, after = draft.chain.steps[place].text, roads[best][0].chain.steps[place].text
    return LookAhead(
        chosen=chosen,
        escalation=Escalation(
            step=place,
            action="step_back" if best else "look_ahead",
            reason=reason,
            before=before,
            after=after,
            changed=bool(best),
            what_if=_what_if(desk, chosen, fallback),
            tokens=desk.generated_tokens + desk.scored_tokens - spent,
        ),
    )


def _what_if(desk: Desk, chosen: Draft, fallback: Draft | None) -> str | None:
    """Where the next best road leads, if the chosen step fails."""
    other = desk.answer(fallback) if fallback is not None else None
    if other is None:
        return None
    own = desk.answer(chosen)
    if own is not None and answer_key(own) == answer_key(other):
        return f"the next best step leads to {other} as well"
    return f"the next best step leads to {other}"
