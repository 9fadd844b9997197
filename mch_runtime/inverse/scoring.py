"""Many texts scored in as few batches as the session allows, each behind a prefix that is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from mch_runtime.session import Block, Branch, Feed, FloatArray, Session


@dataclass(frozen=True, kw_only=True)
class Job:
    """Tokens to be read behind the first ``length`` tokens of ``parent``; behind nothing if length is 0.

    Those from ``first`` on are scored. first is at least 1: the row that predicts a token comes from the token
    before it, which must be read here, because rows of the past are not kept.
    """

    parent: Branch | None
    length: int
    token_ids: Sequence[int]
    first: int


@dataclass(frozen=True)
class Scores:
    """Of the scored tokens: logprobs (n,) and the entropies (n,) of the rows that predicted them, nats."""

    logprobs: FloatArray
    entropies: FloatArray

    @property
    def total(self) -> float:
        """Log-probability of all scored tokens together, nats."""
        return float(self.logprobs.sum(dtype=np.float64))


T = TypeVar("T")


@dataclass(frozen=True)
class Inquiry(Generic[T]):
    """What has to be scored, and what comes of the scores."""

    jobs: Sequence[Job]
    conclude: Callable[[Sequence[Scores]], T]


def answer(session: Session, inquiries: Sequence[Inquiry[Any]]) -> list[Any]:
    """What comes of each of them. Their jobs share batches: many small ones cost more than a large one."""
    scores = iter(score(session, [job for inquiry in inquiries for job in inquiry.jobs]))
    return [inquiry.conclude([next(scores) for _ in inquiry.jobs]) for inquiry in inquiries]


def score(session: Session, jobs: Sequence[Job]) -> list[Scores]:
    """The scores of every job, in order. All jobs share one batch, or as few as there is room for."""
    found = [Scores(*np.zeros((2, len(job.token_ids) - job.first), dtype=np.float32)) for job in jobs]
    for wave in waves(session, [len(job.token_ids) - 1 for job in jobs]):
        part = [(jobs[index], found[index]) for index in wave if found[index].logprobs.size]
        if part:
            _score_wave(session, part)
    return found


def waves(session: Session, lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of as many new branches at a time as the session has room for; at least one.

    lengths: how many tokens each will hold beyond those that it shares.
    """
    wave: list[int] = []
    tokens = 0
    for place, length in enumerate(lengths):
        full = len(wave) >= session.free_branches or tokens + length > session.free_tokens
        if wave and full:
            yield wave
            wave, tokens = [], 0
        wave.append(place)
        tokens += length
    if wave:
        yield wave


def _score_wave(session: Session, part: Sequence[tuple[Job, Scores]]) -> None:
    def read(block: Block) -> None:
        targets = [part[f][0].token_ids[o + 1] for f, o in zip(block.feeds, block.offsets, strict=True)]
        logprobs, entropies = row_scores(block.logits, targets)
        for row, (feed, offset) in enumerate(zip(block.feeds, block.offsets, strict=True)):
            job, scores = part[feed]
            scores.logprobs[offset + 1 - job.first] = logprobs[row]
            scores.entropies[offset + 1 - job.first] = entropies[row]

    with ExitStack() as stack:
        feeds = []
        for job, _ in part:
            if job.parent is not None and job.length:
                made = session.fork(job.parent, length=job.length)
            else:
                made = session.branch()
            feeds.append(Feed(stack.enter_context(made), job.token_ids[:-1], job.first - 1))
        session.decode(feeds, read, states=False)


def row_scores(logits: FloatArray, token_ids: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Log P of one token per row of logits (n, n_vocab), and each row's entropy; both (n,), nats."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    totals = weights.sum(axis=1, dtype=np.float64)
    log_totals = np.log(totals)
    # Logits of -inf weigh nothing; 0 * -inf would be nan.
    means = np.einsum("ij,ij->i", weights, np.maximum(shifted, np.float32(-1e4))) / totals
    logprobs = shifted[np.arange(len(shifted)), np.asarray(token_ids)] - log_totals
    return logprobs.astype(np.float32), np.maximum(0.0, log_totals - means).astype(np.float32)
