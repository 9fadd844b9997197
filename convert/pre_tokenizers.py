"""How a tokenizer.json splits text into words, and llama.cpp's name for that.

llama.cpp's converter recognizes a tokenizer by the hash of what it makes of a test text; here the rules
themselves are compared, so that any vocabulary under known rules is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping

from convert.json_file import JsonObject
from mch_runtime.errors import DataError

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

QWEN2 = rf"{_CONTRACTION}|{_WORDS}|\p{{N}}|{_REST}"
LLAMA3 = rf"{_CONTRACTION}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3_WORDS = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
DEEPSEEK3 = (r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK3_WORDS)

_BYTES = "bytes"  # every byte becomes a character
_WORDS_AND_BYTES = "words and bytes"  # GPT-2's splitting first
_DIGITS = "digits"  # every digit alone

# The steps, an expression for each split; whether whole words are looked up before merging -> the name.
PRE_TOKENIZERS: Mapping[tuple[tuple[str, ...], bool], str] = {
    ((QWEN2, _BYTES), False): "qwen2",
    ((LLAMA3, _BYTES), True): "llama-bpe",
    ((LLAMA3, _BYTES), False): "smaug-bpe",
    ((TEKKEN, _BYTES), True): "tekken",
    ((*DEEPSEEK3, _BYTES), False): "deepseek-v3",
    ((_DIGITS, _WORDS_AND_BYTES), False): "smollm",
    ((_WORDS_AND_BYTES,), False): "gpt-2",
}


def find_pre_tokenizer(tokenizer: JsonObject) -> str:
    """llama.cpp's name for the pre-tokenizer of a tokenizer.json. Raises DataError."""
    outer, model = tokenizer.section("pre_tokenizer"), tokenizer.section("model")
    whole_words = model is not None and model.flag("ignore_merges", default=False)
    name = PRE_TOKENIZERS.get((_steps(outer), whole_words)) if outer is not None else None
    if name is None:
        raise DataError(
            f"{tokenizer.where}: this pre-tokenizer is not supported",
            hint=f"supported: those of {', '.join(PRE_TOKENIZERS.values())}",
        )
    return name


def _steps(outer: JsonObject) -> tuple[str, ...]:
    if outer.text("type") != "Sequence":
        return (_step(outer),)
    parts = outer.items("pretokenizers")
    return tuple(_step(JsonObject(outer.where, part)) for part in parts if isinstance(part, dict))


def _step(part: JsonObject) -> str:
    """One step as the table has it; "" for what is not in it."""
    kind = part.text("type")
    if kind == "ByteLevel" and not part.flag("add_prefix_space", default=True):
        return _WORDS_AND_BYTES if part.flag("use_regex", default=True) else _BYTES
    if kind == "Digits" and part.flag("individual_digits", default=False):
        return _DIGITS
    pattern = part.section("pattern") if kind == "Split" else None
    if pattern is None or part.text("behavior") != "Isolated" or part.flag("invert", default=False):
        return ""
    return pattern.text("Regex") or ""
