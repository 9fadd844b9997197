"""A SentencePiece model as the bytes of a tokenizer.model."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping


def model_bytes(
    pieces: Iterable[tuple[str, float, int]],
    *,
    trainer: Mapping[int, int | bytes] | None = None,
    normalizer: Mapping[int, int | bytes] | None = None,
) -> bytes:
    """pieces: (text, score, kind) by id; trainer, normalizer: fields by number, over Llama 2's."""
    parts = [
        _field(1, _field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _field(3, kind))
        for text, score, kind in pieces
    ]
    sections = (
        (2, {3: 2, 35: 1} | dict(trainer or {})),
        (3, {1: b"identity", 3: 1, 4: 0, 5: 1} | dict(normalizer or {})),
    )
    for number, section in sections:
        parts.append(_field(number, b"".join(_field(key, value) for key, value in section.items())))
    return b"".join(parts)


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


SMALL = model_bytes([("<unk>", 0.0, 2), ("a", -1.0, 1), ("\u2581a", -2.0, 1), ("<0x0A>", 0.0, 6)])
