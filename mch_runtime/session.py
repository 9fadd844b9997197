"""The small protocol that hides the native library from everything that reasons with it.

A session holds one model in memory and many sequences of tokens that may share prefixes. Feeding
tokens to sequences yields, for the tokens asked for, the logits of the next token and the
final-norm hidden state. It belongs to one thread.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mch_runtime.options import SamplingOptions

FloatArray = NDArray[np.float32]


class Interrupt:
    """A flag that stops work between two layers of the model; a signal handler may set it."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        self.requested = True

    def clear(self) -> None:
        self.requested = False


class Branch(Protocol):
    """A handle on one sequence of tokens; released at the end of its ``with``."""

    @property
    def length(self) -> int:
        """How many tokens it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens to append to a branch; outputs are wanted for ``token_ids[first_output:]``."""

    branch: Branch
    token_ids: Sequence[int]
    first_output: int = 0

    @classmethod
    def last(cls, branch: Branch, token_ids: Sequence[int]) -> Feed:
        """Outputs for the last token only: what a prompt needs."""
        return cls(branch, token_ids, len(token_ids) - 1)


@dataclass(frozen=True, slots=True)
class Block:
    """Outputs of one batch. The arrays are views, valid until the reader returns.

    feeds: (n,) which feed each row belongs to; offsets: (n,) its place in that feed's token_ids;
    logits: (n, n_vocab) float32, of the token that follows; hidden: (n, n_embd) float32, or (n, 0) where no states
    are wanted.
    """

    feeds: NDArray[np.intp]
    offsets: NDArray[np.intp]
    logits: FloatArray
    hidden: FloatArray


Reader = Callable[[Block], None]


class Sampler(Protocol):
    """Draws tokens for one sequence; seeded, with its own state."""

    def sample(self, row: int) -> int:
        """A token id for ``row`` of the block being read. Only inside a reader."""
        ...


class Vocabulary(Protocol):
    """Text to token ids and back."""

    @property
    def size(self) -> int: ...

    @property
    def specials(self) -> tuple[str, ...]:
        """The texts of control, user-defined and unknown tokens, longest first."""
        ...

    @property
    def adds_bos(self) -> bool: ...

    def normalize(self, text: str) -> str:
        """``text`` in the Unicode normalization form that the model was trained on."""
        ...

    def tokenize(self, text: str, *, add_bos: bool = False, parse_special: bool = False) -> list[int]:
        """Token ids; ``parse_special`` lets the text of special tokens become them."""
        ...

    def piece(self, token_id: int, *, special: bool = False) -> bytes:
        """The bytes of a token, which may end inside a character; special ones only if asked."""
        ...

    def is_end(self, token_id: int) -> bool:
        """Whether generation stops on this token."""
        ...


class Session(Protocol):
    """One model with its sequences."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def n_ctx(self) -> int:
        """Tokens that a branch may hold. All together may hold as many at least; a shared prefix counts once."""
        ...

    @property
    def n_embd(self) -> int: ...

    @property
    def free_branches(self) -> int:
        """How many more branches can be made now."""
        ...

    @property
    def free_tokens(self) -> int:
        """For how many more tokens there is room at least: a prefix shared with a branch that has ended counts twice."""
        ...

    def branch(self) -> AbstractContextManager[Branch]:
        """A new, empty sequence."""
        ...

    def fork(self, parent: Branch, *, length: int | None = None) -> AbstractContextManager[Branch]:
        """A new sequence that shares the first ``length`` tokens of ``parent`` (None: all)."""
        ...

    def truncate(self, branch: Branch, length: int) -> None:
        """Forget all but the first ``length`` tokens."""
        ...

    def thin(self, branch: Branch, kept: Sequence[int]) -> None:
        """Forget all tokens but those at the places ``kept``, ascending; they close ranks.

        Only while no other branch lives. Raises UsageError if the model's cache cannot do that.
        """
        ...

    def decode(self, feeds: Sequence[Feed], read: Reader, *, states: bool = True) -> None:
        """Append every feed's tokens; call ``read`` once per batch that has outputs.

        states: False where the hidden states are not wanted, which makes it faster; ``read`` then may not draw.
        Raises ResourceError if the context is full and Interrupted if the interrupt was requested;
        in both cases each branch's ``length`` says what was kept.
        """
        ...

    def sampler(self, sampling: SamplingOptions, *, seed: int) -> AbstractContextManager[Sampler]:
        """A sampler for one sequence."""
        ...


class TextDecoder:
    """Token pieces to text: bytes of a character that is not complete yet are held back."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        return self._decoder.decode(piece)

    def flush(self) -> str:
        """What is left, invalid bytes replaced by U+FFFD."""
        return self._decoder.decode(b"", final=True)
