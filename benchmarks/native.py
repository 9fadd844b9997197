"""The few lines of llama-cpp-python's low-level API that benchmarks compare with."""

from __future__ import annotations

from collections.abc import Sequence

import llama_cpp.llama_cpp as native


def fill(batch: native.llama_batch, token_ids: Sequence[int], *, first: int, output: bool = True) -> None:
    """Tokens of sequence 0 from position ``first`` on; ``output``: the last one's logits are wanted."""
    batch.n_tokens = len(token_ids)
    for i, token_id in enumerate(token_ids):
        batch.token[i] = token_id
        batch.pos[i] = first + i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = output and i == len(token_ids) - 1
