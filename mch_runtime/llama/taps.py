"""Scoped passes that show what a session does not: attention weights, inputs of weights, outputs of layers.

A small context on the same model is made for one sequence and freed right after. llama.cpp has attention
weights only without flash attention, so the session's own context, which may use it, is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mch_runtime.attention import AttentionBlock, AttentionReader
from mch_runtime.errors import ResourceError
from mch_runtime.llama import abi, memory
from mch_runtime.llama.context import LOGITS_BYTES, thread_counts
from mch_runtime.llama.model import LlamaModel
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from mch_runtime.steering import Steering

PIECE_BYTES = 64 << 20  # of one layer's weights for one batch; llama.cpp and we hold three of them at most
MOST_ROWS = 512
MOST_WEIGHTS = 1 << 33  # in all; copying them takes longer than reading the chain
_CELLS = 256  # llama.cpp rounds the size of its cache up to this


@dataclass(frozen=True)
class LlamaAttention:
    """See :class:`mch_runtime.attention.AttentionSource`."""

    model: LlamaModel
    options: EngineOptions
    interrupt: Interrupt
    steering: Steering | None = None

    def __call__(self, token_ids: Sequence[int], read: AttentionReader) -> None:
        n_tokens, vocab = len(token_ids), self.model.vocabulary.size
        if not token_ids:
            return
        if not 0 <= min(token_ids) <= max(token_ids) < vocab:
            raise ValueError("a token id is outside the vocabulary")
        rows = piece_rows(
            n_tokens, heads=self._number("attention.head_count"), layers=self._number("block_count")
        )
        first = 0

        def show(layer: int, weights: NDArray[np.float32]) -> None:
            n = min(rows, n_tokens - first)
            read(AttentionBlock(layer, first, weights[:, :n, : first + n]))

        with self._context(n_tokens, rows, abi.AttentionTap(show)) as context:
            while first < n_tokens:
                part = token_ids[first : first + rows]
                context.decode(((t, first + i, 0) for i, t in enumerate(part)), outputs=False)
                first += len(part)

    @contextmanager
    def _context(self, n_tokens: int, rows: int, tap: abi.AttentionTap) -> Iterator[abi.ContextHandle]:
        cells = _cells(n_tokens)
        piece = 4 * rows * cells * self._number("attention.head_count")
        needed = memory.kv_bytes(self.model.gguf, n_ctx=cells, element_bytes=4) + 3 * piece
        memory.require(needed, what=f"reading the attention of {n_tokens} tokens")
        with _tapped(self.model, self.options, self.interrupt, cells, rows, tap) as context:
            if self.steering is not None:
                context.steer(self.steering.directions)
            yield context

    def _number(self, name: str) -> int:
        """A hyper-parameter of the model, the largest where layers differ."""
        metadata = self.model.gguf.metadata
        value = metadata[f"{metadata['general.architecture']}.{name}"]
        return max(int(item) for item in (value if isinstance(value, tuple) else (value,)))


def piece_rows(n_tokens: int, *, heads: int, layers: int) -> int:
    """How many tokens are read at once. Raises ResourceError for a chain that is too long to be read."""
    total = heads * layers * n_tokens * n_tokens
    if total > MOST_WEIGHTS:
        raise ResourceError(
            f"{n_tokens:,} tokens have {total / 1e9:.0f} thousand million attention weights",
            hint="explain without attention, or a shorter chain",
        )
    return max(1, min(n_tokens, MOST_ROWS, PIECE_BYTES // (4 * heads * _cells(n_tokens))))


@dataclass(frozen=True)
class _Reading:
    """Reads texts, each for itself, while a tap looks on."""

    model: LlamaModel
    options: EngineOptions
    interrupt: Interrupt

    def _read(self, texts: Iterable[Sequence[int]], tap: abi.Tap, longest: int) -> None:
        vocab = self.model.vocabulary.size
        rows = max(1, min(MOST_ROWS, LOGITS_BYTES // (4 * vocab), longest))
        with self._context(longest, rows, tap) as context:
            for token_ids in texts:
                if not 0 <= min(token_ids) <= max(token_ids) < vocab or len(token_ids) > longest:
                    raise ValueError("a token id is outside the vocabulary, or a text is too long")
                context.remove(0, 0)
                for first in range(0, len(token_ids), rows):
                    part = token_ids[first : first + rows]
                    # Of tokens without outputs the last layer would skip a part.
                    context.decode(((t, first + i, 0) for i, t in enumerate(part)), outputs=True)

    @contextmanager
    def _context(self, longest: int, rows: int, tap: abi.Tap) -> Iterator[abi.ContextHandle]:
        cells = _cells(longest)
        needed = memory.kv_bytes(self.model.gguf, n_ctx=cells, element_bytes=4) + LOGITS_BYTES
        memory.require(needed, what=f"reading {longest} tokens")
        with _tapped(self.model, self.options, self.interrupt, cells, rows, tap) as context:
            yield context


class LlamaWeightInputs(_Reading):
    """Shows what every weight of the layers is multiplied with while texts are read."""

    def __call__(
        self,
        texts: Iterable[Sequence[int]],
        read: Callable[[str, NDArray[np.float32]], None],
        *,
        longest: int,
    ) -> None:
        """Read token ids of texts, none with more than ``longest``.

        ``read(name, inputs)`` gets a weight's name and (rows, columns) float32, rows in the order of tokens. Raises
        ResourceError or Interrupted, and what ``read`` raises.
        """
        self._read(texts, abi.WeightInputTap(read), longest)


class LlamaLayerOutputs(_Reading):
    """Shows what every layer puts out while texts are read."""

    def __call__(
        self,
        texts: Iterable[Sequence[int]],
        read: Callable[[int, NDArray[np.float32]], None],
        *,
        longest: int,
    ) -> None:
        """Read token ids of texts, none with more than ``longest``; a text is asked for when the one before is read.

        ``read(layer, outputs)`` gets a layer, counted from 0, and (rows, n_embd) float32, rows in the order of
        tokens. Raises as LlamaWeightInputs does.
        """
        self._read(texts, abi.LayerOutputTap(read), longest)


@contextmanager
def _tapped(
    model: LlamaModel, options: EngineOptions, interrupt: Interrupt, cells: int, rows: int, tap: abi.Tap
) -> Iterator[abi.ContextHandle]:
    handle = abi.ContextHandle(
        model.handle,
        n_ctx=cells,
        n_batch=rows,
        n_seq_max=1,
        threads=thread_counts(model, options),
        flash_attention=False,
        kv_type="f32",
        interrupt=interrupt,
        tap=tap,
    )
    try:
        yield handle
    finally:
        handle.close()


def _cells(n_tokens: int) -> int:
    return -(-n_tokens // _CELLS) * _CELLS
