from __future__ import annotations

from pathlib import Path

import pytest

from mch_runtime.errors import UsageError
from mch_runtime.file_types import FILE_TYPES
from mch_runtime.gguf_file import GgufFile, open_checked
from quant.types import (
    ALIASES,
    NEED_IMPORTANCE,
    NOT_MADE,
    Override,
    available_types,
    known_type,
    parse_override,
    resolve,
)
from tests.gguf_samples import write_model


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> GgufFile:
    path = write_model(tmp_path_factory.mktemp("types") / "m.gguf", n_embd=256, ffn=288, n_layer=2, n_head=4)
    with open_checked(path) as (_, header):
        return header


def test_every_type_of_llama_cpp_is_made_or_explained() -> None:
    assert set(available_types(importance=True)) | set(NOT_MADE) == set(FILE_TYPES)
    assert set(available_types(importance=True)) - set(available_types()) == NEED_IMPORTANCE
    assert set(ALIASES.values()) <= set(FILE_TYPES)


@pytest.mark.parametrize(("word", "name"), [("q4_k_m", "Q4_K_M"), ("Q4_K", "Q4_K_M"), ("iq2_m", "IQ2_M")])
def test_names(word: str, name: str) -> None:
    assert known_type(word, importance=True) == name


@pytest.mark.parametrize(("word", "near"), [("Q4_KM", "Q4_K_M"), ("IQ4XS", "IQ4_XS"), ("Q80", "Q8_0")])
def test_a_misspelled_type_has_a_near_match(word: str, near: str) -> None:
    with pytest.raises(UsageError, match="is not a type") as caught:
        known_type(word, importance=False)
    assert f"did you mean {near}?" in caught.value.hint


@pytest.mark.parametrize("word", sorted(NOT_MADE))
def test_types_that_make_no_sense_say_why(word: str) -> None:
    with pytest.raises(UsageError, match="is not made: "):
        known_type(word, importance=True)


@pytest.mark.parametrize("word", ["ffn_down", "=Q4_K", "ffn_down=", "", "="])
def test_overrides_without_a_side(word: str) -> None:
    with pytest.raises(UsageError, match="does not say which tensors"):
        parse_override(word)


def test_an_override_with_an_unknown_type() -> None:
    with pytest.raises(UsageError, match="Q4_K_X is not a type") as caught:
        parse_override("ffn=Q4_K_X")
    assert "did you mean Q4_K?" in caught.value.hint


def test_a_pattern_may_hold_an_equals_sign() -> None:
    assert parse_override("a=b=q8_0") == Override("a=b", "Q8_0")


def test_the_first_override_of_a_tensor_holds(gguf: GgufFile) -> None:
    types = resolve([Override(r"blk\.0\.ffn_up", "Q8_0"), Override("ffn_up", "Q5_0")], gguf)
    assert types == {"blk.0.ffn_up.weight": "Q8_0", "blk.1.ffn_up.weight": "Q5_0"}


def test_vectors_are_no_matrices(gguf: GgufFile) -> None:
    with pytest.raises(UsageError, match="no matrix of the model has 'norm'"):
        resolve([Override("norm", "Q8_0")], gguf)


def test_a_pattern_that_is_none(gguf: GgufFile) -> None:
    with pytest.raises(UsageError, match="is not a regular expression"):
        resolve([Override("ffn_(", "Q8_0")], gguf)


def test_rows_that_do_not_fit_the_blocks(gguf: GgufFile) -> None:
    with pytest.raises(UsageError, match="its rows of 288 are no multiple of 256") as caught:
        resolve([Override("ffn_down", "Q4_K")], gguf)
    assert "Q5_0" in caught.value.hint


def test_a_model_in_a_sample(tmp_path: Path, gguf: GgufFile) -> None:
    assert len(resolve([Override(".", "Q8_0")], gguf)) == 15  # 7 in each of 2 layers, and the embeddings
