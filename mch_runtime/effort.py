"""How much is spent on a question, and what is to be made of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from mch_runtime.errors import UsageError
from mch_runtime.trace import Mode

Rule = Literal["majority", "head", "ics", "both", "best-logprob", "deepconf", "best-energy"]
MOST_VOTES = 1024


@dataclass(frozen=True, kw_only=True)
class SelectionSettings:
    """All that is to be chosen on validation data; for sage-pico ``benchmarks.selection`` did.

    ics_weight, head_weight: a vote weighs exp(ics_weight * ICS + head_weight * answer logit). sound_weight:
    lambda_c of the energy, whose lambda_i is ics_weight; energy_logprob: what of log P(z | x) it takes.
    ics_margin: chains whose ICS is further below the best are dropped; None: none. deepconf_keep: the share of
    chains, those with the best bottom window, that ``deepconf`` lets vote. temperature: of votes and candidates
    where none is asked for.
    stop_at: drawing ends once the leader is ahead with this probability; above 1: once nothing can change any more.
    candidates: next steps that are compared, the one that is there included. rollouts: chains that look ahead behind each of them.
    think_below: ``auto`` thinks where the head finds the answer less likely right. look_ahead_below: whoever thinks looks for
    another step where the head finds one less likely valid.
    """

    ics_weight: float = 32.0
    head_weight: float = 1.0
    sound_weight: float = 1.0
    energy_logprob: Literal["sum", "mean"] = "sum"
    ics_margin: float | None = None
    deepconf_keep: float = 0.9
    temperature: float = 0.8
    stop_at: float = 0.99
    candidates: int = 4
    rollouts: int = 1
    think_below: float = 0.8
    look_ahead_below: float = 0.8

    def with_skepticism(self, skepticism: float) -> SelectionSettings:
        """lambda_i = ``skepticism``; all other doubts in proportion. Raises UsageError below 0."""
        if not 0 <= skepticism <= 1e6:
            raise UsageError(f"--skepticism {skepticism:g} is out of range", hint="0 or more")
        scale = skepticism / self.ics_weight
        return replace(
            self,
            ics_weight=skepticism,
            head_weight=self.head_weight * scale,
            sound_weight=self.sound_weight * scale,
        )


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What is done to answer a question.

    votes: chains to draw where the mode draws any, at most. budget: tokens to write and score, at most; None: no
    limit. rule: how chains are weighed; what was not measured is left out of it. ics: measure the consistency in
    ``fast`` too. windows: measure DeepConf's bottom window.
    """

    mode: Mode = "fast"
    votes: int = 8
    budget: int | None = None
    rule: Rule = "both"
    settings: SelectionSettings = field(default_factory=SelectionSettings)
    ics: bool = False
    windows: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.votes <= MOST_VOTES:
            raise UsageError(f"--votes {self.votes} is out of range", hint=f"1 to {MOST_VOTES}")
        if self.budget is not None and self.budget < 1:
            raise UsageError(f"--budget {self.budget} is out of range", hint="1 token or more")

    @property
    def weighs_ics(self) -> bool:
        """Whether the rule wants the chains' consistency."""
        return self.rule in {"ics", "both", "best-energy"} or self.settings.ics_margin is not None

    @property
    def wants_ics(self) -> bool:
        """Whether the consistency of any chain is measured."""
        return self.ics or (self.mode != "fast" and self.weighs_ics)

    @property
    def is_plain(self) -> bool:
        """Whether one chain is written and nothing else is measured or limited."""
        return self.mode == "fast" and not self.ics and not self.windows and self.budget is None
