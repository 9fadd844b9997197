"""How far one model's next-token distributions are from another's on the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from mch_runtime.evaluation.metrics import Array, Estimate, bootstrap
from mch_runtime.prompting import make_prompt
from mch_runtime.session import Block, Feed, Session
from prompts.dialects import shipped
from quant.divergence import divergences, log_softmax
from training.traces import Sampled

TEXTS_AT_ONCE = 16


def solution_texts(session: Session, sampled: Sequence[Sampled]) -> list[tuple[list[int], list[int]]]:
    """Token ids of each chain's prompt, and of what was generated."""
    dialect = shipped()["sage-pico"]
    return [
        (
            make_prompt(
                session.vocabulary, dialect, [{"role": "user", "content": one.problem.question}]
            ).token_ids,
            one.chain.token_ids,
        )
        for one in sampled
    ]


def log_distributions(session: Session, texts: Sequence[tuple[list[int], list[int]]]) -> list[np.ndarray]:
    """Log-probabilities (n_generated, n_vocab) under teacher forcing, float32, for each text."""
    found: list[np.ndarray] = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[first : first + TEXTS_AT_ONCE]
        rows: list[list[np.ndarray]] = [[] for _ in part]

        def read(block: Block, rows: list[list[np.ndarray]] = rows) -> None:
            for feed, logits in zip(block.feeds, block.logits, strict=True):
                rows[feed].append(log_softmax(logits).astype(np.float32))

        with ExitStack() as stack:
            feeds = [
                Feed(stack.enter_context(session.branch()), [*prompt, *chain[:-1]], len(prompt) - 1)
                for prompt, chain in part
            ]
            session.decode(feeds, read)
        found += [np.stack(text_rows) for text_rows in rows]
    return found


def divergence(
    reference: Sequence[np.ndarray], other: Sequence[np.ndarray], *, rng: np.random.Generator
) -> Estimate:
    """Mean KL divergence, nats per token, of ``other`` from ``reference``; the interval is over texts."""
    pairs = list(zip(reference, other, strict=True))
    per_text: list[Array] = [divergences(p.astype(np.float64), q.astype(np.float64)) for p, q in pairs]
    tokens: Array = np.concatenate(per_text)
    texts = np.repeat(np.arange(len(per_text)), [len(values) for values in per_text])
    return bootstrap(lambda i: float(tokens[i].mean()), texts, rng=rng)
