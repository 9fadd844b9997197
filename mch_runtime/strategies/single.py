"""``fast`` among other questions: one chain."""

from __future__ import annotations

from mch_runtime.errors import Interrupted
from mch_runtime.strategies.desk import Desk, Plan
from mch_runtime.strategies.outcome import Outcome, alone


def single(desk: Desk) -> Plan[Outcome]:
    """The chain as the sampler draws it, and its consistency where that is wanted."""
    draft = desk.draw(desk.case.options.sampling)
    try:
        yield from desk.wait([draft])
        if desk.effort.ics:
            desk.measure([draft])
    except Interrupted:
        desk.end([draft], "interrupted")
        return alone(desk, draft, fast=draft, interrupted=True)
    return alone(desk, draft, fast=draft)
