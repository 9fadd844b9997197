"""tokenizer.json -> a spelling: byte-level BPE, or SentencePiece's BPE in this form.

Only what llama.cpp tokenizes in the same way is accepted. llama.cpp has no normalizers for either: that
text must be brought to NFC first is written into the GGUF, and the runtime does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from convert.json_file import JsonObject
from convert.pre_tokenizers import find_pre_tokenizer
from convert.vocabulary import MAX_TOKENS, SPACE, Spelling, Token, TokenType, added_token
from mch_runtime.errors import DataError

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def is_byte_level(tokenizer: JsonObject) -> bool:
    """Whether the model is BPE over bytes."""
    model = tokenizer.section("model")
    return (
        model is not None and model.text("type") == "BPE" and not model.flag("byte_fallback", default=False)
    )


def read_byte_level(tokenizer: JsonObject) -> Spelling:
    """Byte-level BPE. Raises DataError."""
    if not is_byte_level(tokenizer):
        raise _unsupported("a tokenizer that is not BPE")
    model = _model(tokenizer)
    tokens = _tokens(tokenizer, model)
    return Spelling(
        model="gpt2",
        pre_tokenizer=find_pre_tokenizer(tokenizer),
        tokens=tuple(tokens.values()),
        merges=tuple(f"{left} {right}" for left, right in _merges(model, tokens)),
        normalizer=_normalizer(tokenizer),
        leading=leading_token(tokenizer),
    )


def read_byte_fallback(tokenizer: JsonObject) -> Spelling:
    """SentencePiece's BPE, as transformers stores it: merges instead of scores. Raises DataError.

    llama.cpp merges any two pieces whose join is a token, the best token first; so the merges must name
    every way to join a token, and a token's place among them is its score.
    """
    model = _model(tokenizer)
    if model.flag("ignore_merges", default=False):
        raise _unsupported("a BPE model with byte_fallback and ignore_merges")
    tokens = _tokens(tokenizer, model)
    ranks: dict[str, int] = {}
    pairs = _merges(model, tokens)
    for rank, (left, right) in enumerate(pairs):
        ranks.setdefault(left + right, rank)
    _check_every_way_is_a_merge(tokens, set(pairs))
    unknown = model.text("unk_token")

    def scored(token: Token) -> Token:
        if token.kind != TokenType.NORMAL:
            return token
        if _BYTE.fullmatch(token.text):
            return Token(token.id, token.text, TokenType.BYTE)
        kind = TokenType.UNKNOWN if token.text == unknown else TokenType.NORMAL
        return Token(token.id, token.text, kind, -float(ranks.get(token.text, len(pairs))))

    return Spelling(
        model="llama",
        pre_tokenizer="default",
        tokens=tuple(scored(token) for token in tokens.values()),
        leading=leading_token(tokenizer),
        add_space_prefix=None if _space_prefix(tokenizer) else False,
    )


def added_tokens(tokenizer: JsonObject) -> Iterator[Token]:
    """The tokens beside the model's."""
    for item in tokenizer.items("added_tokens"):
        if not isinstance(item, dict):
            raise DataError(
                f"{tokenizer.where}: added_tokens holds something else than tokens", hint="it is damaged"
            )
        entry = JsonObject(f"{tokenizer.where}: added_tokens", item)
        yield added_token(entry, _id(entry, "id"))


def leading_token(tokenizer: JsonObject) -> str | None:
    """The token that the post-processor puts before every text. Raises DataError if it puts others."""
    post = tokenizer.section("post_processor")
    if post is None:
        return None
    leading: list[str] = []
    parts = post.items("processors") if post.text("type") == "Sequence" else [post.values]
    for part in parts:
        kind, pieces = (part.get("type"), part.get("single")) if isinstance(part, dict) else (None, None)
        match pieces:
            case _ if kind == "ByteLevel":
                pass
            case [{"Sequence": _}] if kind == "TemplateProcessing":
                pass
            case [{"SpecialToken": {"id": str(text)}}, {"Sequence": _}] if kind == "TemplateProcessing":
                leading.append(text)
            case _:
                raise _unsupported("a post-processor that adds tokens behind the text")
    if len(leading) > 1:
        raise _unsupported("a post-processor that adds tokens twice")
    return leading[0] if leading else None


def _model(tokenizer: JsonObject) -> JsonObject:
    model = tokenizer.section("model")
    if model is None or model.text("type") != "BPE":
        raise _unsupported("a tokenizer that is not BPE")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.values.get(key):
            raise _unsupported(f"a BPE model with {key}")
    return model


def _tokens(tokenizer: JsonObject, model: JsonObject) -> dict[str, Token]:
    """Every token by its text; an added token that the model has too keeps the model's id."""
    vocab = model.section("vocab")
    if vocab is None:
        raise model.error("vocab", "an object that gives every token an id")
    tokens = {text: Token(_id(vocab, text), text, TokenType.NORMAL) for text in vocab.values}
    for token in added_tokens(tokenizer):
        known = tokens.get(token.text, token)
        tokens[token.text] = Token(known.id, token.text, token.kind, token.score)
    return tokens


def _id(section: JsonObject, key: str) -> int:
    return section.integer(key, low=0, high=MAX_TOKENS - 1)


def _merges(model: JsonObject, tokens: Mapping[str, Token]) -> list[tuple[str, str]]:
    """Pairs, however they are stored; each part and the whole must be tokens."""
    merges = []
    for item in model.items("merges"):
        pair = item.split(" ") if isinstance(item, str) else item
        match pair:
            case [str(left), str(right)] if left in tokens and right in tokens and left + right in tokens:
                merges.append((left, right))
            case _:
                raise DataError(
                    f"tokenizer.json has a merge of unknown tokens: {str(item)[:60]!r}",
                    hint="the tokenizer is damaged",
                )
    if not merges:
        raise _unsupported("a BPE model without merges")
    return merges


def _check_every_way_is_a_merge(tokens: Mapping[str, Token], merges: set[tuple[str, str]]) -> None:
    normal = {text for text, token in tokens.items() if token.kind == TokenType.NORMAL}
    for text in normal:
        for cut in range(1, len(text)):
            pair = text[:cut], text[cut:]
            if pair[0] in normal and pair[1] in normal and pair not in merges:
                raise _unsupported(
                    f"a BPE model with byte_fallback that never joins {pair[0]!r} and {pair[1]!r}",
                    hint="llama.cpp would; put the original tokenizer.model into the folder",
                )


def _normalizer(tokenizer: JsonObject) -> str | None:
    """The form that text is brought to first: NFC, or None; other normalizers are refused."""
    normalizer = tokenizer.section("normalizer")
    if normalizer is None:
        return None
    if normalizer.text("type") != "NFC":
        raise _unsupported(f"the normalizer {normalizer.text('type')}")
    return "NFC"


def _space_prefix(tokenizer: JsonObject) -> bool:
    """Whether a space is put before the text. Spaces become the character SPACE in one of two ways."""
    normalizer, splitter = tokenizer.section("normalizer"), tokenizer.section("pre_tokenizer")
    steps: list[object] = []
    if normalizer is not None:
        sequence = normalizer.text("type") == "Sequence"
        steps = normalizer.items("normalizers") if sequence else [dict(normalizer.values)]
    replaces: dict[str, object] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if splitter is None and steps in ([replaces], [{"type": "Prepend", "prepend": SPACE}, replaces]):
        return len(steps) == 2
    if splitter is not None and splitter.text("type") == "Metaspace" and not steps:
        scheme = splitter.text("prepend_scheme")
        if splitter.text("replacement") == SPACE and not splitter.flag("split", default=True):
            return scheme != "never" if scheme else splitter.flag("add_prefix_space", default=True)
    raise _unsupported("this way to spell spaces")


def _unsupported(what: str, *, hint: str = "") -> DataError:
    hint = hint or "llama.cpp would tokenize differently"
    return DataError(f"tokenizer.json: {what} is not supported", hint=hint)
