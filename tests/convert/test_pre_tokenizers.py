"""Every rule for splitting words: llama.cpp's token ids beside those of the tokenizers library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from convert.json_file import JsonObject
from convert.pre_tokenizers import PRE_TOKENIZERS, find_pre_tokenizer
from convert.to_gguf import convert
from mch_runtime.errors import DataError
from mch_runtime.llama.model import open_model

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def families(samples: ModuleType) -> ModuleType:
    from tests.convert import families

    return families


def test_every_row_is_tested(families: ModuleType) -> None:
    assert set(families.BYTE_LEVEL) == set(PRE_TOKENIZERS.values())


@pytest.mark.parametrize("name", sorted(set(PRE_TOKENIZERS.values())))
def test_token_ids_equal_the_tokenizers(
    samples: ModuleType, families: ModuleType, tmp_path: Path, name: str
) -> None:
    from tokenizers import Tokenizer

    family = next(family for family in families.FAMILIES if family.name == "smollm2")
    small = family.settings | {"num_hidden_layers": 1}
    folder = families.save(replace(family, text=name, specials=SPECIALS, settings=small), tmp_path / "hf")
    convert(folder, tmp_path / "out.gguf", outtype="f32")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = samples.varied_texts(300)
    if name == "tekken":
        # llama.cpp tells upper from lower case by ASCII letters alone.
        texts = [text for text in texts if text.isascii()]
        assert len(texts) > 30
    with open_model(tmp_path / "out.gguf", probe=False) as model:
        for text in texts:
            normal = model.vocabulary.normalize(text)
            found = model.vocabulary.tokenize(normal, parse_special=True)
            assert found == tokenizer.encode(text).ids, repr(text)


def test_the_name_depends_on_whole_words(families: ModuleType) -> None:
    tokenizer = families.byte_level_json("llama-bpe", SPECIALS, leads=False)
    assert find_pre_tokenizer(JsonObject("tokenizer.json", tokenizer)) == "llama-bpe"
    tokenizer["model"]["ignore_merges"] = False
    assert find_pre_tokenizer(JsonObject("tokenizer.json", tokenizer)) == "smaug-bpe"


@pytest.mark.parametrize(
    "splitter",
    [
        None,
        {"type": "Whitespace"},
        {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]},
        {"type": "Sequence", "pretokenizers": [3]},
        {"type": "Sequence", "pretokenizers": []},
        {"type": "Digits", "individual_digits": False},
    ],
)
def test_unknown_rules(families: ModuleType, splitter: object) -> None:
    tokenizer = families.byte_level_json("qwen2", SPECIALS, leads=False)
    tokenizer = json.loads(json.dumps(tokenizer)) | {"pre_tokenizer": splitter}
    with pytest.raises(DataError, match="this pre-tokenizer is not supported"):
        find_pre_tokenizer(JsonObject("tokenizer.json", tokenizer))
