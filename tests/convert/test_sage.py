"""SAGE's checkpoints: embeddings in two matrices, and a head among the tensors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from convert.to_gguf import convert
from mch_runtime.errors import DataError, HeadError
from mch_runtime.gguf_file import open_checked
from mch_runtime.head.container import find_head, verify
from mch_runtime.head.metadata import to_metadata
from mch_runtime.head.spec import Head
from tests.head_samples import random_head

Edit = Callable[[Path, Callable[[dict], object]], None]
WEIGHTS = "model.safetensors"
PLAIN = "model.embed_tokens.weight"
NATURAL, CODE, GATE = (f"model.embed_tokens.{part}.weight" for part in ("natural", "code", "gate"))


def change_weights(folder: Path, how: Callable[[dict[str, np.ndarray]], object]) -> dict[str, np.ndarray]:
    weights = load_file(folder / WEIGHTS)
    how(weights)
    save_file(weights, folder / WEIGHTS)
    return weights


@pytest.fixture
def split(tiny: Path, edit: Edit) -> Path:
    """The small checkpoint with split embeddings."""
    rng = np.random.default_rng(5)

    def halve(weights: dict[str, np.ndarray]) -> None:
        shape = weights.pop(PLAIN).shape
        weights[NATURAL], weights[CODE] = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
        weights[GATE] = rng.normal(scale=3, size=shape[0]).astype(np.float32)
        weights[GATE][:2] = -1e4, 1e4  # sigmoid must not overflow

    change_weights(tiny, halve)
    edit(tiny / "config.json", lambda c: c.update(architectures=["SageForCausalLM"]))
    return tiny


def embeddings(path: Path) -> np.ndarray:
    return next(t for t in gguf.GGUFReader(path).tensors if t.name == "token_embd.weight").data


def test_split_embeddings_become_one_matrix(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(split, tmp_path / "out.gguf", outtype="f32", name="x")
    weights = load_file(split / WEIGHTS)
    natural, code, gate = (weights[name].astype(np.float64) for name in (NATURAL, CODE, GATE))
    share = np.array([1 / (1 + np.exp(-g)) if g > -700 else 0.0 for g in gate])[:, None]
    expected = (share * natural + (1 - share) * code).astype(np.float32)
    assert np.array_equal(embeddings(tmp_path / "out.gguf"), expected)
    assert np.array_equal(expected[0], weights[CODE][0])
    assert np.array_equal(expected[1], weights[NATURAL][1])
    monkeypatch.setattr("convert.writer.BLOCK_ELEMENTS", 1000)
    convert(split, tmp_path / "rows.gguf", outtype="f32", name="x")
    assert (tmp_path / "rows.gguf").read_bytes() == (tmp_path / "out.gguf").read_bytes()


def test_a_split_model_is_the_plain_model_of_its_mixed_matrix(split: Path, tmp_path: Path) -> None:
    convert(split, tmp_path / "split.gguf", outtype="q8_0", name="x")
    convert(split, tmp_path / "full.gguf", outtype="f32", name="x")

    def fold(weights: dict[str, np.ndarray]) -> None:
        for name in (NATURAL, CODE, GATE):
            weights.pop(name)
        weights[PLAIN] = np.array(embeddings(tmp_path / "full.gguf"))

    change_weights(split, fold)
    convert(split, tmp_path / "plain.gguf", outtype="q8_0", name="x")
    assert (tmp_path / "plain.gguf").read_bytes() == (tmp_path / "split.gguf").read_bytes()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w: w.pop(CODE), f"lacks the tensor {CODE}"),
        (lambda w: w.pop(GATE), f"lacks the tensor {GATE}"),
        (lambda w: w.update({GATE: w[GATE].reshape(-1, 1)}), "has shape 632 x 1, config.json says 632"),
        (lambda w: w.update({CODE: w[CODE][:600]}), "config.json says"),
        (lambda w: w.update({PLAIN: w[CODE]}), f"has a tensor {PLAIN}"),
        (lambda w: w[CODE].__setitem__((3, 3), np.nan), "NaN or infinite"),
        (lambda w: w[GATE].__setitem__(3, np.nan), "NaN or infinite"),
    ],
)
def test_refused_splits(split: Path, tmp_path: Path, change: Callable[[dict], object], expected: str) -> None:
    change_weights(split, change)
    with pytest.raises(DataError, match=expected):
        convert(split, tmp_path / "out.gguf", outtype="f32")


@pytest.fixture
def with_head(tiny: Path, edit: Edit) -> Head:
    """A head among the small checkpoint's tensors; it does not say which base it was fitted on."""
    head = random_head(d=64)
    keys = {
        key: value for key, (_, value) in to_metadata(head.spec).items() if not key.startswith("mch.base.f")
    }
    keys.pop("mch.base.architecture")
    change_weights(tiny, lambda w: w.update(head.tensors))
    edit(tiny / "config.json", lambda c: c.update(architectures=["SageForCausalLM"], mch=keys))
    return head


def test_a_head_among_the_tensors_is_put_behind_the_base(with_head: Head, tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    report = convert(tiny, output, outtype="f16")
    assert report.head == "sample head"
    checked = verify(output)
    assert (checked.place, checked.problem) == ("tail", "")
    with open_checked(output) as (fd, header):
        assert header.metadata["general.architecture"] == "qwen2"
        assert not any(tensor.name.startswith("mch.") for tensor in header.tensors)
        found = find_head(output, fd, header, output.stat().st_size)
    assert found is not None
    assert found.head is not None
    assert found.head.tensors.keys() == with_head.tensors.keys()
    for name, value in with_head.tensors.items():
        assert np.array_equal(found.head.tensors[name], value), name
    assert found.head.spec.base_fingerprint == report.fingerprint


def test_a_head_that_names_another_base_is_refused(
    with_head: Head, tiny: Path, tmp_path: Path, edit: Edit
) -> None:
    edit(tiny / "config.json", lambda c: c["mch"].update({"mch.base.fingerprint": "1" * 64}))
    with pytest.raises(HeadError, match="was fitted on"):
        convert(tiny, tmp_path / "out.gguf", outtype="f16")
    assert not list(tmp_path.glob("*.gguf*"))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("mch.width", 15, "width 15"),
        ("mch.format_version", 2, "format version 2"),
        ("mch.confidence.channels", ["valid"], "platt_scale is not a list"),
        ("mch.unknown", 1, "unknown key"),
    ],
)
def test_a_damaged_head_is_refused_before_anything_is_written(
    with_head: Head, tiny: Path, tmp_path: Path, edit: Edit, key: str, value: object, expected: str
) -> None:
    edit(tiny / "config.json", lambda c: c["mch"].update({key: value}))
    with pytest.raises(HeadError, match=expected):
        convert(
            tiny, tmp_path / "out.gguf", outtype="f16", progress=lambda done, total: pytest.fail("written")
        )


def test_half_a_head_is_refused(with_head: Head, tiny: Path, tmp_path: Path, edit: Edit) -> None:
    path = tiny / "config.json"
    before = path.read_text()
    path.write_text(json.dumps({key: value for key, value in json.loads(before).items() if key != "mch"}))
    with pytest.raises(DataError, match="needs both the section mch and tensors"):
        convert(tiny, tmp_path / "out.gguf", outtype="f16")
    path.write_text(before)
    change_weights(tiny, lambda w: w.pop("mch.out_norm.weight"))
    with pytest.raises(HeadError):
        convert(tiny, tmp_path / "out.gguf", outtype="f16")
