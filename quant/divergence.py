"""Rows of logits of two models on the same tokens, one piece of a text at a time.

A piece is as many tokens as fit a few dozen megabytes of logits, so no text and no vocabulary is too large.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mch_runtime.session import Block, Feed, FloatArray, Session
from quant.texts import Document

PIECE_BYTES = 32 << 20  # of one model's logits
_ROWS_AT_ONCE = 1 << 20  # elements of float64 while a piece is compared

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """Outputs of consecutive tokens. first: the place of the first of them in the document.

    logits: (n, n_vocab) float32, of the token that follows each; hidden: (n, n_embd) float32.
    """

    first: int
    logits: FloatArray
    hidden: FloatArray


@dataclass(frozen=True)
class Rows:
    """How two models predict the same tokens: each (n,).

    nll, other_nll: -log P of the token that came, nats; kl: divergence of the second from the first, nats;
    same_top: whether both have the same most likely token.
    """

    nll: Floats
    other_nll: Floats
    kl: Floats
    same_top: NDArray[np.bool_]


def pieces(session: Session, document: Document) -> Generator[Piece, None, None]:
    """The outputs from the token before the first that is scored to the last, copies, in order."""
    rows = max(1, PIECE_BYTES // (4 * session.vocabulary.size))
    token_ids, start = document.token_ids, document.first - 1
    with session.branch() as branch:
        session.decode([Feed(branch, token_ids[:start], start)], _ignore)
        for first in range(start, len(token_ids), rows):
            blocks: list[tuple[FloatArray, FloatArray]] = []

            def read(block: Block, blocks: list[tuple[FloatArray, FloatArray]] = blocks) -> None:
                blocks.append((block.logits.copy(), block.hidden.copy()))

            session.decode([Feed(branch, token_ids[first : first + rows])], read)
            logits, hidden = (np.concatenate(part) for part in zip(*blocks, strict=True))
            yield Piece(first, logits, hidden)


def compare_rows(reference: FloatArray, other: FloatArray, targets: NDArray[np.intp]) -> Rows:
    """Logits (n, n_vocab) of two models and the tokens (n,) that came."""
    at_once = max(1, _ROWS_AT_ONCE // reference.shape[1])
    parts = [
        _compare(reference[i : i + at_once], other[i : i + at_once], targets[i : i + at_once])
        for i in range(0, len(targets), at_once)
    ]
    return Rows(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _compare(
    reference: FloatArray, other: FloatArray, targets: NDArray[np.intp]
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    p, q = log_softmax(reference), log_softmax(other)
    places = np.arange(len(targets))
    same = np.asarray(p.argmax(axis=1) == q.argmax(axis=1))
    return -p[places, targets], -q[places, targets], divergences(p, q), same


def log_softmax(logits: FloatArray) -> Floats:
    """Log-probabilities of (…, n_vocab) logits, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def divergences(p: Floats, q: Floats) -> Floats:
    """KL divergence of ``q`` from ``p``, nats, of each row of log-probabilities (n, n_vocab)."""
    # A token that ``p`` rules out weighs nothing, whatever ``q`` says of it.
    terms = np.exp(p) * np.where(np.isfinite(p), p - q, 0.0)
    return np.asarray(np.maximum(terms.sum(axis=1), 0.0))


def _ignore(_block: Block) -> None:
    """Of a prompt nothing is wanted."""
