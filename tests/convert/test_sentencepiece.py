"""SentencePiece tokenizers: the file, its twin in JSON, and llama.cpp's ids beside theirs."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.json_file import parse_json
from convert.sentencepiece_file import parse_sentencepiece, read_sentencepiece
from convert.to_gguf import convert
from convert.tokenizer_json import read_byte_fallback
from convert.vocabulary import TokenType
from mch_runtime.errors import DataError, MissingInputError
from mch_runtime.llama.model import open_model


@pytest.fixture(scope="module")
def families(samples: ModuleType) -> ModuleType:
    from tests.convert import families

    return families


def parsed(tokenizer: dict):
    return read_byte_fallback(parse_json(json.dumps(tokenizer).encode(), where="tokenizer.json"))


def test_pieces_of_the_file(families: ModuleType) -> None:
    spelling = parse_sentencepiece(families.sentencepiece_model())
    expected = [(text, kind, score) for text, score, kind in families.pieces()]
    assert [(t.text, t.kind, t.score) for t in spelling.tokens] == expected
    assert (spelling.model, spelling.pre_tokenizer, spelling.add_space_prefix) == ("llama", "default", None)


def test_pieces_equal_the_librarys(families: ModuleType, tmp_path: Path) -> None:
    library = pytest.importorskip("sentencepiece")
    path = tmp_path / "tokenizer.model"
    path.write_bytes(families.sentencepiece_model())
    model = library.SentencePieceProcessor(model_file=str(path))
    tokens = read_sentencepiece(path).tokens
    assert [t.text for t in tokens] == [model.id_to_piece(k) for k in range(model.vocab_size())]
    assert [t.score for t in tokens] == [model.get_score(k) for k in range(model.vocab_size())]
    assert [t.kind == TokenType.BYTE for t in tokens] == [model.is_byte(k) for k in range(len(tokens))]


def test_scores_from_merges_are_in_the_order_of_the_files(families: ModuleType) -> None:
    from_file = parse_sentencepiece(families.sentencepiece_model()).tokens
    from_json = parsed(families.sentencepiece_json(leads=True)).tokens
    assert [t.text for t in from_json] == [t.text for t in from_file]
    merged = [t.id for t in from_file if t.kind == TokenType.NORMAL and len(t.text) > 1]
    scores = {t.id: t.score for t in from_json}
    assert [scores[i] for i in merged] == sorted((scores[i] for i in merged), reverse=True)
    assert [t.kind for t in from_json[3:]] == [t.kind for t in from_file[3:]]


@pytest.mark.parametrize("form", ["model", "json"])
def test_token_ids_of_varied_texts_equal_the_tokenizers(
    samples: ModuleType, families: ModuleType, tmp_path: Path, form: str
) -> None:
    from tokenizers import Tokenizer

    name = {"model": "llama-2", "json": "mistral-7b"}[form]
    family = next(family for family in families.FAMILIES if family.name == name)
    folder = families.save(family, tmp_path / "hf")
    convert(folder, tmp_path / "out.gguf", outtype="f32")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with open_model(tmp_path / "out.gguf", probe=False) as model:
        assert model.vocabulary.adds_bos
        for text in samples.varied_texts(300):
            ids = tokenizer.encode(text).ids
            assert model.vocabulary.tokenize(text, add_bos=True) == ids, repr(text)


def test_without_a_tokenizer_json(families: ModuleType, tmp_path: Path) -> None:
    family = next(family for family in families.FAMILIES if family.name == "llama-2")
    folder = families.save(family, tmp_path / "hf")
    convert(folder, tmp_path / "both.gguf", outtype="f32", name="x")
    (folder / "tokenizer.json").unlink()
    convert(folder, tmp_path / "alone.gguf", outtype="f32", name="x")
    assert (tmp_path / "alone.gguf").read_bytes() == (tmp_path / "both.gguf").read_bytes()
    (folder / "tokenizer.model").unlink()
    with pytest.raises(MissingInputError, match=r"tokenizer\.json"):
        convert(folder, tmp_path / "none.gguf", outtype="f32")


@pytest.mark.parametrize(("scheme", "expected"), [("first", None), ("always", None), ("never", False)])
def test_spaces_by_metaspace(families: ModuleType, scheme: str, expected: bool | None) -> None:
    spelling = parsed(families.sentencepiece_json(leads=True, metaspace=scheme))
    assert spelling.add_space_prefix is expected
    assert spelling.leading == "<s>"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trainer": {3: 1}}, "not BPE"),
        ({"trainer": {24: 1}}, "spaces behind words"),
        ({"normalizer": {2: b"rules"}}, "normalizes text by rules"),
        ({"normalizer": {4: 1}}, "double spaces"),
        ({"normalizer": {5: 0}}, "keeps spaces"),
    ],
)
def test_refused_models(families: ModuleType, changes: dict, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        parse_sentencepiece(families.sentencepiece_model(**changes))


def test_no_space_first(families: ModuleType) -> None:
    raw = families.sentencepiece_model(normalizer={3: 0})
    assert parse_sentencepiece(raw).add_space_prefix is False


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t["model"]["merges"].pop(), "never joins"),
        (lambda t: t["model"].update(ignore_merges=True), "ignore_merges"),
        (lambda t: t.update(normalizer={"type": "NFKC"}), "spell spaces"),
        (lambda t: t.update(normalizer=None), "spell spaces"),
        (lambda t: t["normalizer"]["normalizers"].reverse(), "spell spaces"),
        (lambda t: t.update(pre_tokenizer={"type": "Metaspace", "split": True}), "spell spaces"),
    ],
)
def test_refused_twins(families: ModuleType, change, expected: str) -> None:
    tokenizer = families.sentencepiece_json(leads=False)
    change(tokenizer)
    with pytest.raises(DataError, match=expected):
        parsed(tokenizer)


@pytest.mark.parametrize(
    "raw", [b"", b"\x00", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0a\x05ab"]
)
def test_what_is_no_model(raw: bytes) -> None:
    with pytest.raises(DataError, match="not a SentencePiece model"):
        parse_sentencepiece(raw)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_damage_is_refused_or_harmless(raw: bytes, position: int, byte: int) -> None:
    from tests.convert.sentencepiece_bytes import SMALL

    damaged = bytearray(SMALL)
    damaged[position % len(damaged)] = byte
    for data in (raw, bytes(damaged), SMALL + raw):
        with suppress(DataError):
            assert parse_sentencepiece(data).tokens
