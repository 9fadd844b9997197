"""The few lines of llama-cpp-python's low-level API that benchmarks compare with."""

from __future__ import annotations

from collections.abc import Sequence

import llama_cpp.llama_cpp as native

from mch_runtime.llama.context import LlamaSession


def fill(batch: native.llama_batch, token_ids: Sequence[int], *, first: int, output: bool = True) -> None:
    """Tokens of sequence 0 from position ``first`` on; ``output``: the last one's logits are wanted."""
    rows = [(token_id, first + place, 0) for place, token_id in enumerate(token_ids)]
    fill_rows(batch, rows, outputs=int(output))


def fill_rows(batch: native.llama_batch, rows: Sequence[tuple[int, int, int]], *, outputs: int) -> None:
    """(token id, position, sequence) rows, of which the last ``outputs`` have logits."""
    batch.n_tokens = len(rows)
    for i, (token_id, position, sequence) in enumerate(rows):
        batch.token[i] = token_id
        batch.pos[i] = position
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = sequence
        batch.logits[i] = i >= len(rows) - outputs


class Endless:
    """A vocabulary in which no token ends an answer, so that every way writes as many tokens.

    steps: every so many tokens one is taken for the end of a line, for models that write none; 0: none is.
    """

    def __init__(self, session: LlamaSession, *, steps: int = 0) -> None:
        self._piece = session.vocabulary.piece
        self._steps = steps
        self._written = 0

    def piece(self, token_id: int) -> bytes:
        self._written += 1
        return b"\n" if self._steps and self._written % self._steps == 0 else self._piece(token_id)

    def is_end(self, token_id: int) -> bool:
        return False
