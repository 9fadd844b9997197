"""The vocabulary of a GGUF as a value, and tokens in the order of their ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from convert.json_file import JsonObject
from mch_runtime.errors import DataError

MAX_TOKENS = 1 << 22
MAX_TOKEN_CHARACTERS = 4096
SPACE = "\u2581"  # how SentencePiece spells a space
_UNUSED_SCORE = -10_000.0
_SPECIAL_TEXTS = ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
_SPECIAL_BRACKETS = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))


class TokenType(IntEnum):
    """llama.cpp's kinds of tokens."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Token:
    """score: the higher, the sooner two pieces become this one; byte-level BPE goes by merges instead."""

    id: int
    text: str
    kind: TokenType
    score: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How a tokenizer spells text, as its own files say it.

    model: llama.cpp's name of the algorithm; normalizer: the Unicode form that text is brought to first;
    leading: the text of a token that stands before every text, None if the files do not say;
    add_space_prefix: whether a space is put first, None for llama.cpp's usual way.
    """

    model: Literal["gpt2", "llama"]
    pre_tokenizer: str
    tokens: tuple[Token, ...]
    merges: tuple[str, ...] = ()
    normalizer: str | None = None
    leading: str | None = None
    add_space_prefix: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a GGUF says about text. tokens, token_types and scores are by id; merges are "left right".

    stop_ids: tokens that end generation, the usual one first; the other ids are None if not named.
    scores: empty for byte-level BPE, merges for SentencePiece. See ``Spelling`` for the rest.
    """

    model: Literal["gpt2", "llama"]
    pre_tokenizer: str
    normalizer: str | None
    tokens: tuple[str, ...]
    token_types: tuple[TokenType, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    stop_ids: tuple[int, ...]
    bos_id: int | None
    unknown_id: int | None
    pad_id: int | None
    add_bos: bool
    add_space_prefix: bool | None
    chat_template: str | None


def in_order(tokens: Iterable[Token], vocab_size: int) -> tuple[Token, ...]:
    """One token for each id below ``vocab_size``; ids without one are called [PADn] and are unused.

    Raises DataError for an id that comes twice or is too large, and for texts that no GGUF can hold.
    """
    found: dict[int, Token] = {}
    for token in tokens:
        if token.id >= vocab_size:
            raise DataError(
                f"the tokenizer has a token {token.text!r} with id {token.id}, "
                f"the model has {vocab_size} embeddings",
                hint="the tokenizer belongs to another model",
            )
        if (other := found.get(token.id)) is not None:
            raise DataError(
                f"the tokenizer gives {other.text!r} and {token.text!r} the same id {token.id}",
                hint="the tokenizer is damaged",
            )
        _check_text(token.text)
        found[token.id] = token
    unused = (Token(i, f"[PAD{i}]", TokenType.UNUSED, _UNUSED_SCORE) for i in range(vocab_size))
    every = tuple(found.get(token.id, token) for token in unused)
    if len({token.text for token in every}) != len(every):
        raise DataError("the tokenizer names two tokens alike", hint="the tokenizer is damaged")
    return every


def _check_text(text: str) -> None:
    if (
        not text
        or "\0" in text
        or len(text) > MAX_TOKEN_CHARACTERS
        or any(0xD800 <= ord(c) < 0xE000 for c in text)
    ):
        raise DataError(
            f"the tokenizer has a token that no GGUF can hold: {text[:40]!r}",
            hint="the tokenizer is damaged",
        )


def added_token(entry: JsonObject, token_id: int) -> Token:
    """An entry of a list of added tokens. Raises DataError for flags that llama.cpp does not have."""
    text = entry.text("content")
    if not text:
        raise entry.error("content", "the token's text")
    for key in ("lstrip", "rstrip", "single_word"):
        if entry.flag(key, default=False):
            raise DataError(
                f"{entry.where}: the added token {text!r} with {key} is not supported",
                hint="llama.cpp would tokenize differently",
            )
    special = entry.flag("special", default=False) or _looks_special(text)
    return Token(token_id, text, TokenType.CONTROL if special else TokenType.USER_DEFINED, -1000.0)


def _looks_special(text: str) -> bool:
    """Some publishers forget to mark control tokens; llama.cpp's converter goes by their brackets."""
    return text in _SPECIAL_TEXTS or any(
        text.startswith(a) and text.endswith(b) for a, b in _SPECIAL_BRACKETS
    )
