"""Which of several chains to believe: votes, weighted or filtered, and the best single chain.

Everything here is a pure function of chains that were written and scored before, so that a benchmark compares
rules and settings on the very same chains, without a model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from mch_runtime.effort import Rule as Rule
from mch_runtime.effort import SelectionSettings as SelectionSettings
from mch_runtime.inverse.energy import EnergyWeights, energy
from mch_runtime.trace import Vote

LOGIT_LIMIT = 8.0  # a head is never surer than this
ICS_MARGIN_LIMIT = 1.0  # nats per token; also where there is no other answer
NO_ANSWER = "no answer"

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d{1,30})(?:\.\d{1,30})?")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A finished chain and what was measured about it; None where it was not.

    answer: None if the chain gives none. logprob_sum: log P(z | x) of its ``tokens`` tokens, nats, at temperature 1.
    head: the calibrated ``answer`` channel at the last step, head_logit: the same before calibration; sound: the
    calibrated ``sound`` channel. ics: the mean over the question's tokens, ics_min: its smallest token, nats.
    bottom_window: DeepConf's lowest group confidence.
    """

    answer: str | None
    text: str
    logprob_sum: float
    tokens: int
    head: float | None = None
    head_logit: float | None = None
    sound: float | None = None
    ics: float | None = None
    ics_min: float | None = None
    bottom_window: float | None = None

    @property
    def logprob_mean(self) -> float:
        """Nats per token."""
        return self.logprob_sum / max(1, self.tokens)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the chains come to.

    answer: None if no chain gives one. share: of all chains; weighted_share: of the weight of all that were not
    filtered out; both count chains without an answer in the whole. margin: weighted share less that of
    the next answer. votes: heaviest first. chosen: the place of the supporter that speaks for the answer.
    """

    answer: str | None
    share: float
    weighted_share: float
    margin: float
    votes: tuple[Vote, ...]
    chosen: int


def answer_key(answer: str) -> str:
    """What two answers have in common that are the same: case, spacing and ways of writing a number aside."""
    text = " ".join(answer.split()).casefold().removesuffix(".")
    if _NUMBER.fullmatch(text):
        return f"{Decimal(text.replace(',', '')).normalize():f}"
    return text


def select(chains: Sequence[Scored], rule: Rule, settings: SelectionSettings) -> Selection:
    """The answer of ``chains`` by ``rule``. Raises ValueError if there are none.

    What a rule needs and no chain has is left out of it; a chain that lacks what others have weighs as
    the least of them. Ties go to the answer of the larger count, then to the one that came first.
    """
    if not chains:
        raise ValueError("there are no chains to select from")
    dropped = _dropped(chains, rule, settings)
    weights = _normalised(_log_weights(chains, rule, settings), dropped)
    tallies = _tally(chains, weights, dropped)
    if not tallies:
        chosen = max(range(len(chains)), key=lambda place: (chains[place].logprob_mean, -place))
        return Selection(
            answer=None,
            share=0.0,
            weighted_share=0.0,
            margin=0.0,
            votes=_votes(chains, weights, dropped),
            chosen=chosen,
        )
    ranked = sorted(tallies.values(), key=lambda tally: (-tally.weight, -tally.count, tally.first))
    leader = ranked[0]
    return Selection(
        answer=chains[leader.first].answer,
        share=leader.count / len(chains),
        weighted_share=leader.weight,
        margin=leader.weight - (ranked[1].weight if len(ranked) > 1 else 0.0),
        votes=_votes(chains, weights, dropped),
        chosen=max(leader.places, key=lambda place: (weights[place], chains[place].logprob_mean, -place)),
    )


def selection_features(chains: Sequence[Scored], selection: Selection) -> dict[str, float]:
    """What the calibrators of ``vote``, ``think`` and ``auto`` may ask for by name; what is not known is left out.

    answer_logit_mean: of the supporters; ics_margin: the best supporter's ICS less the best other chain's.
    """
    features = {
        "weighted_share": selection.weighted_share,
        "share": selection.share,
        "margin": selection.margin,
        "n": float(len(chains)),
    }
    if selection.answer is None:
        return features
    key = answer_key(selection.answer)
    own = [chain for chain in chains if chain.answer is not None and answer_key(chain.answer) == key]
    others = [chain for chain in chains if chain.answer is not None and answer_key(chain.answer) != key]
    logits = [chain.head_logit for chain in own if chain.head_logit is not None]
    if logits:
        features["answer_logit_mean"] = sum(logits) / len(logits)
    best = max((chain.ics for chain in own if chain.ics is not None), default=None)
    rival = max((chain.ics for chain in others if chain.ics is not None), default=None)
    if best is not None:
        margin = ICS_MARGIN_LIMIT if rival is None else best - rival
        features["ics_margin"] = max(-ICS_MARGIN_LIMIT, min(ICS_MARGIN_LIMIT, margin))
    return features


def chain_energy(chain: Scored, settings: SelectionSettings) -> float:
    """The energy of ``docs/head-format.md`` with these settings' weights; lower is better."""
    return energy(
        logprob=chain.logprob_sum if settings.energy_logprob == "sum" else chain.logprob_mean,
        sound=chain.sound,
        ics=chain.ics,
        weights=EnergyWeights(sound=settings.sound_weight, ics=settings.ics_weight),
    )


def is_decided(chains: Sequence[Scored], remaining: int, rule: Rule, settings: SelectionSettings) -> bool:
    """Whether drawing ``remaining`` more chains is not worth it.

    Either they could not change a plain majority, or the leader is ahead of the next answer, as by now
    weighted, with the probability ``stop_at``: that a coin which fell so often on one side is not a fair one.
    """
    if remaining <= 0:
        return True
    if not chains:
        return False
    selection = select(chains, rule, settings)
    counts = sorted((vote.count for vote in selection.votes if vote.kept), reverse=True)
    lead = counts[0] - sum(counts[1:2]) if counts else 0
    if rule == "majority" and lead > remaining:
        return True
    second = selection.weighted_share - selection.margin
    ahead = probability_ahead(selection.weighted_share * len(chains), second * len(chains))
    return selection.answer is not None and ahead >= settings.stop_at


def probability_ahead(leader: float, second: float) -> float:
    """P(the leader is the likelier of two answers) after so many votes for each, from a flat prior.

    That is 1 - I_{1/2}(leader + 1, second + 1), by Simpson's rule; counts may be fractions.
    """
    pieces = 200
    a, b = leader, second
    log_scale = math.lgamma(a + b + 2) - math.lgamma(a + 1) - math.lgamma(b + 1)

    def density(p: float) -> float:
        if p >= 1.0:
            return math.exp(log_scale) if b == 0 else 0.0
        return math.exp(log_scale + a * math.log(p) + b * math.log1p(-p))

    width = 0.5 / pieces
    inner = sum((4 if k % 2 else 2) * density(0.5 + k * width) for k in range(1, pieces))
    return min(1.0, (density(0.5) + inner + density(1.0)) * width / 3)


@dataclass
class _Tally:
    """The chains of one answer."""

    first: int
    places: list[int]
    weight: float = 0.0

    @property
    def count(self) -> int:
        return len(self.places)


def _tally(
    chains: Sequence[Scored], weights: Sequence[float], dropped: Mapping[int, str]
) -> dict[str, _Tally]:
    tallies: dict[str, _Tally] = {}
    for place, chain in enumerate(chains):
        if chain.answer is None or place in dropped:
            continue
        tally = tallies.setdefault(answer_key(chain.answer), _Tally(place, []))
        tally.places.append(place)
        tally.weight += weights[place]
    return tallies


def _votes(
    chains: Sequence[Scored], weights: Sequence[float], dropped: Mapping[int, str]
) -> tuple[Vote, ...]:
    """A vote for every answer, and one more for its chains that were dropped."""
    found: dict[tuple[str | None, str | None], Vote] = {}
    for place, chain in enumerate(chains):
        why = dropped.get(place) or (NO_ANSWER if chain.answer is None else None)
        key = (None if chain.answer is None else answer_key(chain.answer), why)
        vote = found.get(key) or Vote(
            answer=chain.answer, count=0, weight=0.0, kept=why is None, why_dropped=why
        )
        found[key] = replace(vote, count=vote.count + 1, weight=vote.weight + weights[place])
    return tuple(sorted(found.values(), key=lambda vote: (not vote.kept, -vote.weight, -vote.count)))


def _dropped(chains: Sequence[Scored], rule: Rule, settings: SelectionSettings) -> dict[int, str]:
    """The places of chains that are filtered out, and why."""
    dropped: dict[int, str] = {}
    best = max((chain.ics for chain in chains if chain.ics is not None), default=None)
    if settings.ics_margin is not None and best is not None:
        for place, chain in enumerate(chains):
            if chain.ics is not None and chain.ics < best - settings.ics_margin:
                dropped[place] = "less consistent than the best"
    if rule == "deepconf":
        known = sorted((c.bottom_window for c in chains if c.bottom_window is not None), reverse=True)
        keep = max(1, math.ceil(settings.deepconf_keep * len(known)))
        for place, chain in enumerate(chains):
            if known and (chain.bottom_window is None or chain.bottom_window < known[keep - 1]):
                dropped.setdefault(place, "less sure in its weakest stretch")
    return dropped


def _log_weights(chains: Sequence[Scored], rule: Rule, settings: SelectionSettings) -> list[float]:
    """The logarithm of every chain's weight. A rule for one chain gives it all the weight there is."""
    if rule == "best-logprob":
        return _all_to_the_best([chain.logprob_mean for chain in chains], chains)
    if rule == "best-energy":
        return _all_to_the_best([-chain_energy(chain, settings) for chain in chains], chains)
    terms: list[list[float]] = []
    if rule == "deepconf":
        terms.append(
            _known(chains, lambda c: math.log(max(c.bottom_window, 1e-9)) if c.bottom_window else None)
        )
    if rule in {"head", "both"}:
        terms.append(_known(chains, lambda c: _scaled(_logit(c), settings.head_weight)))
    if rule in {"ics", "both"}:
        terms.append(_known(chains, lambda c: _scaled(c.ics, settings.ics_weight)))
    return [sum(values) for values in zip(*terms, strict=True)] if terms else [0.0] * len(chains)


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by


def _logit(chain: Scored) -> float | None:
    """Of the calibrated probability, within limits."""
    if chain.head is None:
        return None
    p = min(max(chain.head, 1e-9), 1 - 1e-9)
    return max(-LOGIT_LIMIT, min(LOGIT_LIMIT, math.log(p / (1 - p))))


def _known(chains: Sequence[Scored], measure: Callable[[Scored], float | None]) -> list[float]:
    values = [measure(chain) for chain in chains]
    least = min((value for value in values if value is not None), default=0.0)
    return [least if value is None else value for value in values]


def _all_to_the_best(values: Sequence[float], chains: Sequence[Scored]) -> list[float]:
    """The best chain that has an answer, if one has; those that are as good share with it."""
    able = [place for place, chain in enumerate(chains) if chain.answer is not None] or list(
        range(len(chains))
    )
    best = max(values[place] for place in able)
    chosen = {place for place in able if values[place] == best}
    return [0.0 if place in chosen else -math.inf for place in range(len(chains))]


def _normalised(log_weights: Sequence[float], dropped: Mapping[int, str]) -> list[float]:
    """Weights that sum to 1; those that are dropped have none."""
    top = max((value for place, value in enumerate(log_weights) if place not in dropped), default=0.0)
    weights = [0.0 if place in dropped else math.exp(value - top) for place, value in enumerate(log_weights)]
    total = sum(weights) or 1.0
    return [weight / total for weight in weights]
