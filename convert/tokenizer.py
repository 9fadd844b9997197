"""The files of a checkpoint's tokenizer -> the vocabulary of a GGUF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from convert.chat_template import read_chat_template
from convert.json_file import JsonObject, read_json, read_optional_json
from convert.sentencepiece_file import MODEL, read_sentencepiece
from convert.special_tokens import SpecialIds
from convert.tokenizer_json import (
    added_tokens,
    is_byte_level,
    leading_token,
    read_byte_fallback,
    read_byte_level,
)
from convert.vocabulary import (
    MAX_TOKENS,
    SPACE,
    Spelling,
    Token,
    TokenType,
    Vocabulary,
    added_token,
    in_order,
)
from mch_runtime.errors import DataError

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
ADDED_TOKENS = "added_tokens.json"
MAX_TOKENIZER_BYTES = 128 << 20
MAX_CONFIG_BYTES = 16 << 20


def read_vocabulary(
    folder: Path, *, config: JsonObject, generation: JsonObject, vocab_size: int
) -> Vocabulary:
    """The vocabulary of a checkpoint folder, filled up to ``vocab_size`` ids with unused tokens.

    config, generation: config.json and generation_config.json.
    Raises MissingInputError (no tokenizer) or DataError (another kind of tokenizer, or damaged).
    """
    settings = read_optional_json(folder / SETTINGS, limit=MAX_CONFIG_BYTES)
    spelling = _spelling(folder, settings)
    tokens = in_order(spelling.tokens, vocab_size)
    special = SpecialIds({token.text: token.id for token in tokens}, settings, generation, config)
    sentencepiece = spelling.model == "llama"
    return Vocabulary(
        model=spelling.model,
        pre_tokenizer=spelling.pre_tokenizer,
        normalizer=spelling.normalizer,
        tokens=tuple(token.text for token in tokens),
        token_types=tuple(token.kind for token in tokens),
        merges=spelling.merges,
        scores=tuple(token.score for token in tokens) if sentencepiece else (),
        stop_ids=special.stops(),
        bos_id=special.first("bos"),
        unknown_id=special.first("unk"),
        pad_id=special.first("pad"),
        add_bos=special.adds_bos(
            spelling.leading, usually=sentencepiece and not (folder / TOKENIZER).exists()
        ),
        add_space_prefix=spelling.add_space_prefix,
        chat_template=read_chat_template(folder, settings),
    )


def _spelling(folder: Path, settings: JsonObject) -> Spelling:
    """tokenizer.json if it is byte-level BPE; else tokenizer.model, which has scores, if it is there."""
    if (folder / MODEL).exists() and not (folder / TOKENIZER).exists():
        return _sentencepiece(folder, None, settings)
    tokenizer = read_json(folder / TOKENIZER, limit=MAX_TOKENIZER_BYTES)
    if is_byte_level(tokenizer):
        return read_byte_level(tokenizer)
    if (folder / MODEL).exists():
        return _sentencepiece(folder, tokenizer, settings)
    return read_byte_fallback(tokenizer)


def _sentencepiece(folder: Path, tokenizer: JsonObject | None, settings: JsonObject) -> Spelling:
    """tokenizer.model with the tokens that the other files add or rename."""
    spelling = read_sentencepiece(folder / MODEL)
    tokens = {token.id: token for token in spelling.tokens}
    tokens |= {token.id: token for token in _added(folder, tokenizer, settings)}
    return replace(
        spelling,
        tokens=tuple(tokens.values()),
        leading=leading_token(tokenizer) if tokenizer is not None else None,
        add_space_prefix=False
        if not settings.flag("add_prefix_space", default=True)
        else spelling.add_space_prefix,
    )


def _added(folder: Path, tokenizer: JsonObject | None, settings: JsonObject) -> Iterator[Token]:
    """Added tokens in the order in which the later counts. In them a space is a space."""
    plain = read_optional_json(folder / ADDED_TOKENS, limit=MAX_CONFIG_BYTES)
    found = [Token(_id(plain, text), text, TokenType.USER_DEFINED, -1000.0) for text in plain.values]
    found += added_tokens(tokenizer) if tokenizer is not None else []
    decoder = settings.section("added_tokens_decoder")
    for key in decoder.values if decoder is not None else ():
        entry = decoder.section(key) if decoder is not None else None
        if entry is None or not (key.isascii() and key.isdecimal()) or int(key) >= MAX_TOKENS:
            raise DataError(f"{settings.where}: added_tokens_decoder is damaged", hint="download it again")
        found.append(added_token(entry, int(key)))
    for token in found:
        escaped = token.kind == TokenType.USER_DEFINED
        yield replace(token, text=token.text.replace(SPACE, " ")) if escaped else token


def _id(section: JsonObject, key: str) -> int:
    return section.integer(key, low=0, high=MAX_TOKENS - 1)
