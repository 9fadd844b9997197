"""The flags of the answering modes, to one value; what contradicts is refused here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import typer

from mch_runtime.effort import Effort, SelectionSettings
from mch_runtime.errors import UsageError
from mch_runtime.options import EngineOptions
from mch_runtime.trace import Mode
from sage_cli.config import is_configured

SIDE_BY_SIDE = 32  # chains at a time
FEWEST = 8  # of them, where steps are compared
MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True, kw_only=True)
class ModeFlags:
    """What the command line says about the mode; None: nothing."""

    mode: Mode | None
    votes: int | None
    budget: int | None
    skepticism: float | None
    show_votes: bool = False
    require_majority: bool = False
    fail_under_ics: float | None = None

    def effort(self) -> Effort:
        """Raises UsageError where flags contradict each other."""
        mode: Mode = self.mode or ("vote" if self.votes is not None else "fast")
        if mode == "fast":
            self._refuse_votes()
        settings = SelectionSettings()
        if self.skepticism is not None:
            settings = settings.with_skepticism(self.skepticism)
        return Effort(
            mode=mode,
            votes=Effort().votes if self.votes is None else self.votes,
            budget=self.budget,
            settings=settings,
            ics=self.fail_under_ics is not None,
        )

    def _refuse_votes(self) -> None:
        given = {
            "--votes": self.votes is not None,
            "--skepticism": self.skepticism is not None,
            "--show-votes": self.show_votes,
            "--require-majority": self.require_majority,
        }
        for flag in (name for name, is_given in given.items() if is_given):
            raise UsageError(f"{flag} needs several chains, and mode fast writes one", hint="add --mode vote")


def as_configured(ctx: typer.Context, mode: Mode | None, votes: int | None) -> tuple[Mode | None, int | None]:
    """Mode and votes where settings stand for one of them: what was typed wins, and configured votes alone ask for none."""
    if (
        mode == "fast"
        and is_configured(ctx, "mode")
        and votes is not None
        and not is_configured(ctx, "votes")
    ):
        return None, votes
    if mode in {None, "fast"} and is_configured(ctx, "votes"):
        return mode, None
    return mode, votes


def with_room(engine: EngineOptions, effort: Effort, *, batch: bool) -> EngineOptions:
    """An engine with places for the chains of this effort, or of a batch of questions."""
    if batch:
        return engine.side_by_side(SIDE_BY_SIDE)
    if effort.mode == "fast":
        return engine
    return engine.side_by_side(max(FEWEST, min(effort.votes, SIDE_BY_SIDE)))
