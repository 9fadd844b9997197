"""tokenizer.json -> the vocabulary of a GGUF.

Only what llama.cpp tokenizes in the same way is accepted: byte-level BPE with a pre-tokenizer from
the table below. llama.cpp has no normalizers: that text must be brought to NFC first is written into
the GGUF, and the runtime does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from convert.json_file import JsonObject, read_json, read_optional_json
from convert.special_tokens import SpecialIds
from mch_runtime.errors import DataError, file_error

CHAT_TEMPLATE = "chat_template.jinja"
MAX_TOKENIZER_BYTES = 128 << 20
MAX_CONFIG_BYTES = 16 << 20
MAX_TEMPLATE_BYTES = 256 << 10

# The regular expression of a tokenizer.json -> llama.cpp's name for the pre-tokenizer.
PRE_TOKENIZERS: Mapping[str, str] = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}


class TokenType(IntEnum):
    """llama.cpp's kinds of tokens."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a GGUF says about text. tokens and token_types are by id; merges are "left right".

    stop_ids: tokens that end generation, the usual one first; bos_id and pad_id None if not named.
    """

    pre_tokenizer: str
    normalizer: str | None
    tokens: tuple[str, ...]
    token_types: tuple[TokenType, ...]
    merges: tuple[str, ...]
    stop_ids: tuple[int, ...]
    bos_id: int | None
    pad_id: int | None
    add_bos: bool
    chat_template: str | None


def read_vocabulary(folder: Path, *, config: JsonObject, vocab_size: int) -> Vocabulary:
    """The vocabulary of a checkpoint folder, filled up to ``vocab_size`` ids with unused tokens.

    Raises MissingInputError (no tokenizer.json) or DataError (another kind of tokenizer, or damaged).
    """
    tokenizer = read_json(folder / "tokenizer.json", limit=MAX_TOKENIZER_BYTES)
    settings = read_optional_json(folder / "tokenizer_config.json", limit=MAX_CONFIG_BYTES)
    generation = read_optional_json(folder / "generation_config.json", limit=MAX_CONFIG_BYTES)
    model = _bpe(tokenizer)
    _check_post_processor(tokenizer)
    named = _named_tokens(tokenizer, model)
    tokens, types = _by_id(named, vocab_size)
    ids = {text: token_id for token_id, text in enumerate(tokens)}
    special = SpecialIds(ids, settings, generation, config)
    return Vocabulary(
        pre_tokenizer=_pre_tokenizer(tokenizer),
        normalizer=_normalizer(tokenizer),
        tokens=tokens,
        token_types=types,
        merges=_merges(model, ids),
        stop_ids=special.stops(),
        bos_id=special.first("bos"),
        pad_id=special.first("pad"),
        add_bos=special.adds_bos(),
        chat_template=_chat_template(folder, settings),
    )


def _bpe(tokenizer: JsonObject) -> JsonObject:
    model = tokenizer.section("model")
    if model is None or model.text("type") != "BPE" or model.flag("byte_fallback", default=False):
        raise _unsupported("a tokenizer that is not byte-level BPE")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.values.get(key):
            raise _unsupported(f"a BPE model with {key}")
    return model


def _pre_tokenizer(tokenizer: JsonObject) -> str:
    """llama.cpp's name for: split by a known expression, then spell bytes as characters."""
    outer = tokenizer.section("pre_tokenizer")
    parts = outer.items("pretokenizers") if outer is not None else []
    if len(parts) == 2 and all(isinstance(part, dict) for part in parts):
        split, spell = (JsonObject("tokenizer.json: pre_tokenizer", p) for p in parts if isinstance(p, dict))
        pattern = split.section("pattern")
        name = PRE_TOKENIZERS.get(str(pattern.values.get("Regex")) if pattern else "")
        isolated = split.text("type") == "Split" and split.text("behavior") == "Isolated"
        plain = spell.text("type") == "ByteLevel" and not spell.flag("add_prefix_space", default=True)
        whole = not spell.flag("use_regex", default=True) and not split.flag("invert", default=False)
        if name and isolated and plain and whole:
            return name
    raise _unsupported("this pre-tokenizer", hint=f"supported: those of {', '.join(PRE_TOKENIZERS.values())}")


def _normalizer(tokenizer: JsonObject) -> str | None:
    """The form that text is brought to first: NFC, or None; other normalizers are refused."""
    normalizer = tokenizer.section("normalizer")
    if normalizer is None:
        return None
    if normalizer.text("type") != "NFC":
        raise _unsupported(f"the normalizer {normalizer.text('type')}")
    return "NFC"


def _check_post_processor(tokenizer: JsonObject) -> None:
    """Refuse what adds tokens behind the model; llama.cpp would not."""
    post = tokenizer.section("post_processor")
    if post is None or post.text("type") == "ByteLevel":
        return
    pieces = post.items("single")
    if post.text("type") != "TemplateProcessing" or any(
        not isinstance(piece, dict) or "Sequence" not in piece for piece in pieces
    ):
        raise _unsupported("a post-processor that adds tokens")


def _named_tokens(tokenizer: JsonObject, model: JsonObject) -> list[tuple[int, str, TokenType]]:
    vocab = model.section("vocab")
    if vocab is None:
        raise model.error("vocab", "an object that gives every token an id")
    added = [_added(item) for item in tokenizer.items("added_tokens")]
    types = {text: kind for _, text, kind in added}
    named = [(_id(vocab, text), text, types.get(text, TokenType.NORMAL)) for text in vocab.values]
    return named + [token for token in added if token[1] not in vocab.values]


def _added(item: object) -> tuple[int, str, TokenType]:
    if not isinstance(item, dict):
        raise DataError("tokenizer.json: added_tokens holds something else than tokens", hint="it is damaged")
    token = JsonObject("tokenizer.json: added_tokens", item)
    text = token.text("content")
    if not text:
        raise token.error("content", "the token's text")
    for key in ("lstrip", "rstrip", "single_word"):
        if token.flag(key, default=False):
            raise _unsupported(f"the added token {text!r} with {key}")
    kind = TokenType.CONTROL if token.flag("special", default=False) else TokenType.USER_DEFINED
    return _id(token, "id"), text, kind


def _id(section: JsonObject, key: str) -> int:
    return section.integer(key, low=0, high=(1 << 22) - 1)


def _by_id(
    named: list[tuple[int, str, TokenType]], vocab_size: int
) -> tuple[tuple[str, ...], tuple[TokenType, ...]]:
    """Texts and types in the order of ids. Ids without a token are called [PADn]."""
    tokens = [f"[PAD{i}]" for i in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    taken: dict[int, str] = {}
    for token_id, text, kind in named:
        if token_id >= vocab_size:
            raise DataError(
                f"tokenizer.json has a token {text!r} with id {token_id}, the model has {vocab_size} embeddings",
                hint="the tokenizer belongs to another model",
            )
        if token_id in taken:
            raise DataError(
                f"tokenizer.json gives {taken[token_id]!r} and {text!r} the same id {token_id}",
                hint="the tokenizer is damaged",
            )
        taken[token_id] = tokens[token_id] = _checked(text)
        types[token_id] = kind
    if len(set(tokens)) != len(tokens):
        raise DataError("tokenizer.json names two tokens alike", hint="the tokenizer is damaged")
    return tuple(tokens), tuple(types)


def _checked(text: str) -> str:
    if not text or "\0" in text or any(0xD800 <= ord(c) < 0xE000 for c in text) or len(text) > 4096:
        raise DataError(
            f"tokenizer.json has a token that no GGUF can hold: {text[:40]!r}",
            hint="the tokenizer is damaged",
        )
    return text


def _merges(model: JsonObject, ids: Mapping[str, int]) -> tuple[str, ...]:
    """Pairs as "left right", however they are stored; each part and the whole must be tokens."""
    merges = []
    for item in model.items("merges"):
        pair = item.split(" ") if isinstance(item, str) else item
        match pair:
            case [str(left), str(right)] if left in ids and right in ids and left + right in ids:
                merges.append(f"{left} {right}")
            case _:
                raise DataError(
                    f"tokenizer.json has a merge of unknown tokens: {str(item)[:60]!r}",
                    hint="the tokenizer is damaged",
                )
    if not merges:
        raise _unsupported("a BPE model without merges")
    return tuple(merges)


def _chat_template(folder: Path, settings: JsonObject) -> str | None:
    """chat_template.jinja, or else the setting, of which the one called "default" counts."""
    path = folder / CHAT_TEMPLATE
    try:
        if path.exists():
            with path.open("rb") as file:
                template = file.read(MAX_TEMPLATE_BYTES + 1)
        else:
            template = (_template_setting(settings) or "").encode()
        if len(template) > MAX_TEMPLATE_BYTES:
            raise DataError(
                f"the chat template is larger than {MAX_TEMPLATE_BYTES:,} bytes", hint="shorten or remove it"
            )
        return template.decode() or None
    except OSError as error:
        raise file_error(error, "read", path) from error
    except UnicodeError as error:
        raise DataError("the chat template is not UTF-8 text", hint="the file is damaged") from error


def _template_setting(settings: JsonObject) -> str | None:
    if not isinstance(settings.values.get("chat_template"), list):
        return settings.text("chat_template")
    for item in settings.items("chat_template"):
        if isinstance(item, dict) and item.get("name") == "default":
            return JsonObject(f"{settings.where}: chat_template", item).text("template")
    return None


def _unsupported(what: str, *, hint: str = "") -> DataError:
    hint = hint or "llama.cpp would tokenize differently"
    return DataError(f"tokenizer.json: {what} is not supported", hint=hint)
