"""tokenizer.model: the pieces of a SentencePiece model, every length checked against the file.

The ``sentencepiece`` library would load the model, but keeps its normalizer to itself, and a model whose
text llama.cpp would normalize differently must be refused. The file is one protocol-buffer message, of
which a few fields are needed: https://github.com/google/sentencepiece, src/sentencepiece_model.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.vocabulary import MAX_TOKENS, Spelling, Token, TokenType
from mch_runtime.errors import DataError, file_error

MODEL = "tokenizer.model"
MAX_MODEL_BYTES = 64 << 20

_BPE = 2
# The numbers of the fields in sentencepiece_model.proto.
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _SPACE_BEHIND = 3, 24
_RULES, _ADD_PREFIX, _REMOVE_SPACES, _ESCAPE_SPACES = 2, 3, 4, 5

_KINDS = {1: TokenType.NORMAL, 2: TokenType.UNKNOWN, 3: TokenType.CONTROL, 4: TokenType.USER_DEFINED}
_KINDS |= {5: TokenType.UNUSED, 6: TokenType.BYTE}

_Value = int | bytes


@dataclass(frozen=True)
class _Message:
    """The last value of every field: a number, or the bytes of a text, a float32 or a message."""

    fields: Mapping[int, _Value]

    def number(self, field: int, default: int) -> int:
        value = self.fields.get(field, default)
        if not isinstance(value, int):
            raise _damaged()
        return value

    def data(self, field: int) -> bytes:
        value = self.fields.get(field, b"")
        if not isinstance(value, bytes):
            raise _damaged()
        return value


def read_sentencepiece(path: Path) -> Spelling:
    """The spelling of a tokenizer.model. Raises MissingInputError, FileError or DataError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise file_error(error, "read", path) from error
    if len(raw) > MAX_MODEL_BYTES:
        raise DataError(f"{path} is larger than {MAX_MODEL_BYTES:,} bytes", hint="this is no tokenizer")
    return parse_sentencepiece(raw)


def parse_sentencepiece(raw: bytes) -> Spelling:
    """The spelling in the bytes of a tokenizer.model. Raises DataError."""
    tokens: list[Token] = []
    rest: dict[int, _Value] = {}
    for field, value in _fields(raw):
        if field == _PIECE:
            tokens.append(_piece(len(tokens), value))
        else:
            rest[field] = value
        if len(tokens) > MAX_TOKENS:
            raise _damaged()
    if not tokens:
        raise _damaged()
    model = _Message(rest)
    return Spelling(
        model="llama",
        pre_tokenizer="default",
        tokens=tuple(tokens),
        add_space_prefix=_space_prefix(_message(model.data(_TRAINER)), _message(model.data(_NORMALIZER))),
    )


def _space_prefix(trainer: _Message, normalizer: _Message) -> bool | None:
    """False if no space is put first; refuses what llama.cpp would do differently."""
    if trainer.number(_MODEL_TYPE, 1) != _BPE:
        raise _unsupported("a model that is not BPE")
    if trainer.number(_SPACE_BEHIND, 0):
        raise _unsupported("a model that puts spaces behind words")
    if normalizer.data(_RULES):
        raise _unsupported("a model that normalizes text by rules")
    if normalizer.number(_REMOVE_SPACES, 1):
        raise _unsupported("a model that removes double spaces")
    if not normalizer.number(_ESCAPE_SPACES, 1):
        raise _unsupported("a model that keeps spaces as they are")
    return None if normalizer.number(_ADD_PREFIX, 1) else False


def _piece(token_id: int, value: _Value) -> Token:
    if not isinstance(value, bytes):
        raise _damaged()
    message = _message(value)
    score = message.data(_SCORE)
    kind = _KINDS.get(message.number(_KIND, 1))
    if len(score) not in (0, 4) or kind is None:
        raise _damaged()
    try:
        text = message.data(_TEXT).decode()
    except UnicodeDecodeError as error:
        raise _damaged() from error
    number = struct.unpack("<f", score)[0] if score else 0.0
    if not abs(number) < 1e30:  # NaN is not either
        raise _damaged()
    return Token(token_id, text, kind, number)


def _message(raw: bytes) -> _Message:
    return _Message(dict(_fields(raw)))


def _fields(raw: bytes) -> Iterator[tuple[int, _Value]]:
    """(field, value) in the order of the file; fixed-size values are handed out as bytes."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(raw, at)
            yield field, value
            continue
        if wire == 2:
            size, at = _varint(raw, at)
        else:
            size = {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or at + size > len(raw):
            raise _damaged()
        yield field, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number at ``at``, seven bits a byte, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        if at >= len(raw):
            break
        number |= (raw[at] & 0x7F) << shift
        at += 1
        if raw[at - 1] < 0x80:
            return number, at
    raise _damaged()


def _damaged() -> DataError:
    return DataError(f"{MODEL} is not a SentencePiece model, or is damaged", hint="download it again")


def _unsupported(what: str) -> DataError:
    return DataError(f"{MODEL}: {what} is not supported", hint="llama.cpp would tokenize differently")
