"""How a chain's attention is handed to those who reason with it, without the native library.

A source reads a sequence of tokens once more, in a context of its own, and shows the weights piece by
piece: all of them together would be tokens x tokens x heads x layers numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mch_runtime.session import FloatArray


@dataclass(frozen=True, slots=True)
class AttentionBlock:
    """The weights of one layer for some of the tokens.

    weights: (heads, n, first + n) float32: row i says from where token ``first + i`` read. Rows sum to one,
    and are zero behind their own token. A view, valid until the reader returns.
    """

    layer: int
    first: int
    weights: FloatArray


AttentionReader = Callable[[AttentionBlock], None]


class AttentionSource(Protocol):
    """Reads tokens for the sake of their attention."""

    def __call__(self, token_ids: Sequence[int], read: AttentionReader) -> None:
        """Show every layer of the first tokens, in order, then every layer of the next ones, and so on.

        Raises ResourceError if that needs too much memory or time, Interrupted at an interrupt, and
        whatever ``read`` raises.
        """
        ...
