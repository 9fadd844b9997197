from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.hub_names import HubFile, HubName, choose, parse_name, quantization_of, require_name, trusted
from mch_runtime.errors import DataError, MissingInputError, UsageError


def files(paths: Iterable[str]) -> list[HubFile]:
    return [HubFile(path=path, size=1, digest="0" * 64) for path in paths]


MANY = files(
    [
        "README.md",
        "mmproj-F16.gguf",
        "m-F16.gguf",
        "m-IQ4_XS.gguf",
        "m-Q4_K_M.gguf",
        "m-Q4_K_M.mch.gguf",
        "m-Q8_0.gguf",
        "m-UD-Q2_K_XL.gguf",
        "BF16/m-BF16-00001-of-00002.gguf",
        "BF16/m-BF16-00002-of-00002.gguf",
    ]
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ann/m-GGUF", HubName("ann/m-GGUF")),
        ("ann/m-GGUF:Q8_0", HubName("ann/m-GGUF", "Q8_0")),
        ("hf.co/ann/m:q4_k_m", HubName("ann/m", "q4_k_m")),
        ("https://huggingface.co/ann/m", HubName("ann/m")),
        ("ann/m:m-Q8_0.gguf", HubName("ann/m", "m-Q8_0.gguf")),
        *(
            (text, None)
            for text in ("m", "ann/", "/m", "a/b/c", "a/b:", "a/../b", "-a/b", "a/b c", "./a/b", "", "a--b/c")
        ),
    ],
)
def test_names(text: str, name: HubName | None) -> None:
    assert parse_name(text) == name
    if name is None:
        with pytest.raises(UsageError, match="not a model on the hub"):
            require_name(text)


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_none(text: str) -> None:
    name = parse_name(text)
    assert name is None or parse_name(str(name)) == name


@pytest.mark.parametrize(
    ("path", "quantization"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Meta-Llama-3-8B.IQ3_XXS.gguf", "IQ3_XXS"),
        ("a/b-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("m-bf16.gguf", "BF16"),
        ("model.gguf", ""),
        ("quark-7b.gguf", ""),
    ],
)
def test_quantizations(path: str, quantization: str) -> None:
    assert quantization_of(path) == quantization


@pytest.mark.parametrize(
    ("tag", "model", "head"),
    [
        ("", "m-Q4_K_M.gguf", "m-Q4_K_M.mch.gguf"),
        ("q4_k_m", "m-Q4_K_M.gguf", "m-Q4_K_M.mch.gguf"),
        ("Q8_0", "m-Q8_0.gguf", None),
        ("iq4_xs", "m-IQ4_XS.gguf", None),
        ("q2_k_xl", "m-UD-Q2_K_XL.gguf", None),
        ("F16", "m-F16.gguf", None),
        ("m-q8_0.gguf", "m-Q8_0.gguf", None),
    ],
)
def test_choosing(tag: str, model: str, head: str | None) -> None:
    choice = choose(HubName("ann/m", tag), MANY)
    assert (choice.model.path, choice.head.path if choice.head else None) == (model, head)


def test_the_first_gguf_is_taken_where_there_is_no_usual_one() -> None:
    assert (
        choose(HubName("ann/m"), files(["z/a.gguf", "m-Q8_0.gguf", "m-Q5_K_M.gguf"])).model.path
        == "m-Q5_K_M.gguf"
    )


def test_what_there_is_instead() -> None:
    with pytest.raises(MissingInputError, match="ann/m has no Q6_K") as refusal:
        choose(HubName("ann/m", "Q6_K"), MANY)
    assert refusal.value.hint == "it has F16, IQ4_XS, Q4_K_M, Q8_0, UD-Q2_K_XL"
    with pytest.raises(MissingInputError, match="no GGUF file"):
        choose(HubName("ann/m"), files(["model.safetensors", "mmproj-F16.gguf", "m.mch.gguf"]))


def test_split_models_are_refused() -> None:
    with pytest.raises(DataError, match="one of 2 parts") as refusal:
        choose(HubName("ann/m", "bf16"), MANY)
    assert "llama-gguf-split --merge" in refusal.value.hint
    with pytest.raises(DataError):
        choose(HubName("ann/m"), files(["m-Q4_K_M-00001-of-00003.gguf"]))


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "a/./b", "", "a\\b", "a\nb", "a\x1bb"])
def test_paths_that_are_not_trusted(path: str) -> None:
    assert trusted(path, 1, "0" * 64) is None


@pytest.mark.parametrize(
    ("size", "digest"), [(None, "0" * 64), (-1, "0" * 64), (1, None), (1, "../" * 20), (1, "0" * 41)]
)
def test_sizes_and_digests_that_are_not_trusted(size: object, digest: object) -> None:
    assert trusted("a", size, digest) is None
