"""Chains on scripted sessions, and slow twins: one decode for every text, from nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mch_runtime.head.spec import Head
from mch_runtime.inverse.reading import Read, read_chain, text_ends
from mch_runtime.inverse.segment import segments
from mch_runtime.prompting import Prompt, make_prompt
from mch_runtime.session import Block, Feed, FloatArray, Session
from mch_runtime.statistics import token_statistics
from prompts.dialects import Dialect, shipped
from tests.fake_session import END, FakeSession

ASSISTANT = 258
PICO = shipped()["sage-pico"]
QUESTION = "How many have they?"
CHAIN = "Step 1: 2 + 2 = 4.\nStep 2: 4 + 3 = 7.\nAnswer: 7"


class ForkingSession(FakeSession):
    """Two texts are likely, the first more so, as long as what is written begins both."""

    def __init__(self, likely: str, other: str, **options: object) -> None:
        super().__init__({}, **options)  # type: ignore[arg-type]
        self._texts = [[*text.encode(), END] for text in (likely, other)]

    def _outputs(self, tokens: list[int]) -> tuple[FloatArray, FloatArray]:
        logits, hidden = super()._outputs(tokens)
        if ASSISTANT not in tokens:
            return logits, hidden
        start = len(tokens) - tokens[::-1].index(ASSISTANT)
        logits[END] = 0.0
        going = [text for text in self._texts if tokens[start:] == text[: len(tokens) - start]]
        for text, value in zip(going, (9.0, 8.0), strict=False):
            place = text[len(tokens) - start] if len(tokens) - start < len(text) else END
            logits[place] = max(logits[place], value)
        return logits, hidden


def prompt_for(session: Session, question: str = QUESTION, dialect: Dialect = PICO) -> Prompt:
    return make_prompt(session.vocabulary, dialect, [{"role": "user", "content": question}])


@contextmanager
def reading(
    session: Session,
    chain: str = CHAIN,
    *,
    head: Head | None = None,
    dialect: Dialect = PICO,
    end: bool = True,
    calibrated: bool = True,
) -> Iterator[Read]:
    token_ids = [*session.vocabulary.tokenize(chain), *([END] if end else [])]
    text, _ = text_ends(session.vocabulary, token_ids)
    with read_chain(
        session,
        prompt=prompt_for(session, dialect=dialect),
        token_ids=token_ids,
        segments=segments(text, dialect=dialect),
        head=head,
        calibrated=lambda: calibrated,
    ) as read:
        yield read


def slow_scores(session: Session, token_ids: Sequence[int], first: int) -> tuple[FloatArray, FloatArray]:
    """Log-probabilities and entropies of ``token_ids[first:]``, a token at a time on a branch of its own."""
    rows: list[FloatArray] = []

    def keep(block: Block) -> None:
        rows.append(block.logits[0].copy())

    with session.branch() as branch:
        for token_id in token_ids[:-1]:
            session.decode([Feed(branch, [token_id])], keep)
    found = [token_statistics(rows[place - 1], token_ids[place]) for place in range(first, len(token_ids))]
    return np.array([one.logprob for one in found]), np.array([one.entropy for one in found])
