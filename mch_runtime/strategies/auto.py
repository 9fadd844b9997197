"""``auto``: one chain, and more only where the head doubts it."""

from __future__ import annotations

from mch_runtime.strategies.desk import Desk, Plan
from mch_runtime.strategies.outcome import Outcome
from mch_runtime.strategies.think import deliberate


def auto(desk: Desk) -> Plan[Outcome]:
    """Stay with the first chain, or do as ``think``: look ahead at its steps, step back behind them, and vote.

    The head has judged every step at its end; a step is reconsidered once the chain that it leads to is written,
    because that chain is one of the roads that are compared.
    """
    return (yield from deliberate(desk, below=desk.settings.think_below))
