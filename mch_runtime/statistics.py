"""Statistics of a token under the row of logits that predicted it, at temperature 1, and running ones.

The head reads them beside the hidden state. Their names and order are stored with the head. The running
ones are over the step's or the whole chain's tokens so far: the smallest of many is what attention, which
averages, cannot find by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mch_runtime.session import FloatArray
from mch_runtime.trace import Step

LOGPROB_FLOOR = -8.0
PIECE = 1 << 15  # logits that are worked on at once: more would leave the processor's cache in between
STRIPES = 64  # that a long row is folded into where its largest numbers are looked for


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """logprob: log P(token), nats; entropy: of the row, nats; margin: logprob minus the largest log P
    among the other tokens, positive for the row's first choice.
    """

    logprob: float
    entropy: float
    margin: float


def token_statistics(row: FloatArray, token_id: int) -> TokenStatistics:
    """Statistics of ``token_id`` under ``row`` (n_vocab,): a maximum, an exponential, two sums."""
    others = max(_largest(row[:token_id]), _largest(row[token_id + 1 :]))
    chosen = float(row[token_id])
    top = max(others, chosen)
    total = product = 0.0
    for first in range(0, len(row), PIECE):
        shifted = row[first : first + PIECE] - np.float32(top)
        weights = np.exp(shifted)
        total += float(weights.sum())
        product += _product(weights, shifted)
    # Entropy of softmax(x): log(sum exp x) - sum(p x), with x shifted by its maximum.
    log_total = math.log(total)
    return TokenStatistics(
        logprob=chosen - top - log_total,
        entropy=max(0.0, log_total - product / total),
        margin=chosen - others,
    )


def _product(weights: FloatArray, shifted: FloatArray) -> float:
    """Their dot product. BLAS would wake threads for it, which on a busy machine takes longer than the product."""
    product = float(np.einsum("i,i->", weights, shifted))
    if math.isfinite(product):
        return product
    # Logits of -inf weigh nothing; 0 * -inf is nan.
    return float(np.einsum("i,i->", weights, np.maximum(shifted, np.float32(-1e4))))


def block_statistics(
    logits: FloatArray, rows: Sequence[int], token_ids: Sequence[int]
) -> list[TokenStatistics]:
    """Of one token each under some ``rows`` of a block (n, n_vocab): :func:`token_statistics`, many at a time."""
    if len(rows) == 1 or logits.shape[1] > PIECE // 2:
        return [token_statistics(logits[row], token) for row, token in zip(rows, token_ids, strict=True)]
    found: list[TokenStatistics] = []
    size = PIECE // logits.shape[1]
    for first in range(0, len(rows), size):
        part, ids = rows[first : first + size], np.asarray(token_ids[first : first + size])
        found += map(TokenStatistics, *_measured(logits[list(part)], ids))
    return found


def _measured(shifted: FloatArray, ids: NDArray[np.intp]) -> tuple[list[float], list[float], list[float]]:
    """Log-probability, entropy and margin of a token in every row; each (n,). The rows are used up."""
    places = np.arange(len(shifted)), ids
    shifted -= shifted.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    totals = weights.sum(axis=1).astype(np.float64)
    products = np.einsum("ij,ij->i", weights, shifted)
    if not np.isfinite(products).all():
        products = np.einsum("ij,ij->i", weights, np.maximum(shifted, np.float32(-1e4)))
    log_totals = np.log(totals)
    chosen = shifted[places].astype(np.float64)
    shifted[places] = -np.inf
    return (
        (chosen - log_totals).tolist(),
        np.maximum(0.0, log_totals - products / totals).tolist(),
        (chosen - shifted.max(axis=1)).tolist(),
    )


def largest(row: FloatArray, count: int) -> NDArray[np.intp]:
    """Places, ascending, of the ``count`` largest numbers of a long row, and of a few more at times.

    The row is folded into stripes. Of so many stripes as there are numbers wanted the least maximum is exceeded, or
    reached, by every number that is looked for; comparing with it is cheap, and no sorting is needed.
    """
    width = len(row) // STRIPES
    if count >= width:
        return np.argpartition(row, -count)[-count:] if count < len(row) else np.arange(len(row))
    tops = row[: STRIPES * width].reshape(STRIPES, width).max(axis=0)
    return np.flatnonzero(row >= np.partition(tops, -count)[-count])


def measured_step(
    text: str,
    tokens: tuple[int, int],
    statistics: Sequence[TokenStatistics],
    *,
    confidence: Mapping[str, float] | None,
    commitment: float | None = None,
) -> Step:
    """A step with the statistics of its tokens [start, end), of which there is at least one, in nats.

    statistics: of all of the chain's tokens.
    """
    span = statistics[slice(*tokens)]
    logprobs = [token.logprob for token in span]
    return Step(
        text=text,
        tokens=tokens,
        logprob_mean=sum(logprobs) / len(logprobs),
        logprob_min=min(logprobs),
        entropy_mean=sum(token.entropy for token in span) / len(span),
        confidence=confidence,
        commitment=commitment,
    )


def _largest(part: FloatArray) -> float:
    return float(part.max()) if len(part) else -np.inf


@dataclass(slots=True)
class Tally:
    """Running figures over the tokens of a stretch, nats; log-probabilities are clipped.

    excess: sum of logprob + entropy, 0 on average for tokens drawn at temperature 1.
    departures: tokens that were not their row's first choice.
    """

    count: int = 0
    logprob_sum: float = 0.0
    logprob_min: float = 0.0
    entropy_max: float = 0.0
    excess: float = 0.0
    departures: int = 0

    def add(self, token: TokenStatistics) -> None:
        logprob = _clipped(token)
        self.count += 1
        self.logprob_sum += logprob
        self.logprob_min = min(self.logprob_min, logprob)
        self.entropy_max = max(self.entropy_max, token.entropy)
        self.excess += logprob + token.entropy
        self.departures += token.margin < 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A token, and the step and the chain up to it, itself included."""

    token: TokenStatistics
    step: Tally
    chain: Tally


def _clipped(token: TokenStatistics) -> float:
    return max(token.logprob, LOGPROB_FLOOR)


def _log_surprisal(logprob: float) -> float:
    return math.log(1e-3 - logprob) / 2


def _within(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))


# What a head may ask for by name; the order is the head's.
FEATURES: dict[str, Callable[[Moment], float]] = {
    "logprob": lambda m: _clipped(m.token),
    "log_surprisal": lambda m: _log_surprisal(_clipped(m.token)),
    "entropy": lambda m: m.token.entropy,
    "margin": lambda m: _within(m.token.margin, 30.0),
    "step_logprob_mean": lambda m: m.step.logprob_sum / m.step.count,
    "step_logprob_min": lambda m: m.step.logprob_min,
    "step_log_surprisal_max": lambda m: _log_surprisal(m.step.logprob_min),
    "step_tokens_by_32": lambda m: min(m.step.count, 320) / 32,
    "chain_logprob_sum": lambda m: max(m.chain.logprob_sum, -30.0),
    "chain_logprob_mean": lambda m: m.chain.logprob_sum / m.chain.count,
    "chain_logprob_min": lambda m: m.chain.logprob_min,
    "chain_log_surprisal_max": lambda m: _log_surprisal(m.chain.logprob_min),
    "chain_entropy_max": lambda m: m.chain.entropy_max,
    "chain_excess": lambda m: _within(m.chain.excess, 20.0),
    "chain_departures": lambda m: min(m.chain.departures, 20),
}
FEATURE_NAMES = tuple(FEATURES)


class FeatureTrack:
    """The named features of one trace, token by token."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._features = [FEATURES[name] for name in names]
        self._step, self._chain = Tally(), Tally()

    def push(self, statistics: TokenStatistics | None) -> FloatArray:
        """The features (n_s,) of the next token; zeros for the last prompt token, which has none."""
        if statistics is None:
            return np.zeros(len(self._features), dtype=np.float32)
        self._step.add(statistics)
        self._chain.add(statistics)
        moment = Moment(statistics, self._step, self._chain)
        return np.array([feature(moment) for feature in self._features], dtype=np.float32)

    def step(self, tokens: Sequence[TokenStatistics]) -> FloatArray:
        """The features (n, n_s) of a whole step's tokens, of which there is at least one; it ends with the last."""
        features, self._chain = _step_features(tokens, self._chain)
        return np.stack([features[name] for name in self._names], axis=1).astype(np.float32)

    def end_step(self) -> None:
        """The token pushed last was its step's last."""
        self._step = Tally()


def _step_features(
    tokens: Sequence[TokenStatistics], before: Tally
) -> tuple[dict[str, NDArray[np.float64]], Tally]:
    """FEATURES of a step's tokens by name, each (n,), and the chain's tally behind them. before: in front of them."""
    said = np.array([(token.logprob, token.entropy, token.margin) for token in tokens], dtype=np.float64).T
    logprob, entropy, margin = np.maximum(said[0], LOGPROB_FLOOR), said[1], said[2]
    count = np.arange(1, len(tokens) + 1)
    total, least = np.cumsum(logprob), np.minimum(0.0, np.minimum.accumulate(logprob))
    chain_total, chain_least = before.logprob_sum + total, np.minimum(before.logprob_min, least)
    entropy_max = np.maximum(before.entropy_max, np.maximum.accumulate(entropy))
    excess = before.excess + np.cumsum(logprob + entropy)
    departures = before.departures + np.cumsum(margin < 0)
    after = Tally(
        count=before.count + len(tokens),
        logprob_sum=float(chain_total[-1]),
        logprob_min=float(chain_least[-1]),
        entropy_max=float(entropy_max[-1]),
        excess=float(excess[-1]),
        departures=int(departures[-1]),
    )
    return {
        "logprob": logprob,
        "log_surprisal": _log_surprisals(logprob),
        "entropy": entropy,
        "margin": np.clip(margin, -30.0, 30.0),
        "step_logprob_mean": total / count,
        "step_logprob_min": least,
        "step_log_surprisal_max": _log_surprisals(least),
        "step_tokens_by_32": np.minimum(count, 320) / 32,
        "chain_logprob_sum": np.maximum(chain_total, -30.0),
        "chain_logprob_mean": chain_total / (before.count + count),
        "chain_logprob_min": chain_least,
        "chain_log_surprisal_max": _log_surprisals(chain_least),
        "chain_entropy_max": entropy_max,
        "chain_excess": np.clip(excess, -20.0, 20.0),
        "chain_departures": np.minimum(departures, 20).astype(np.float64),
    }, after


def _log_surprisals(logprobs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(1e-3 - logprobs) / 2
