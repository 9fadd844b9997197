"""The attention that llama.cpp computes, and what happens when somebody who looks at it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.attention import AttentionBlock
from mch_runtime.errors import Interrupted, ResourceError
from mch_runtime.llama import taps
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.llama.taps import LlamaAttention, piece_rows
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from tests.gguf_samples import write_model

LAYERS, HEADS = 2, 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaModel]:
    path = write_model(tmp_path_factory.mktemp("model") / "tiny.gguf", n_layer=LAYERS, n_head=HEADS)
    with open_model(path, probe=False) as opened:
        yield opened


@pytest.fixture
def source(model: LlamaModel) -> LlamaAttention:
    return LlamaAttention(model, EngineOptions(model=model.path, threads=1), Interrupt())


def weights_of(source: LlamaAttention, token_ids: list[int], layers: int, heads: int) -> np.ndarray:
    """(layers, heads, n, n)"""
    whole = np.zeros((layers, heads, len(token_ids), len(token_ids)), dtype=np.float32)

    def keep(block: AttentionBlock) -> None:
        _, n, keys = block.weights.shape
        assert keys == block.first + n
        whole[block.layer, :, block.first : block.first + n, :keys] = block.weights

    source(token_ids, keep)
    return whole


def test_rows_sum_to_one_and_look_back_only(source: LlamaAttention) -> None:
    weights = weights_of(source, list(range(40)), LAYERS, HEADS)
    assert np.allclose(weights.sum(axis=-1), 1, atol=1e-5)
    assert np.all(np.triu(weights, 1) == 0)
    assert weights.std(axis=1).max() > 1e-3  # heads differ


def test_pieces_make_the_same_whole(source: LlamaAttention, monkeypatch: pytest.MonkeyPatch) -> None:
    token_ids = [(7 * i) % 300 for i in range(290)]
    whole = weights_of(source, token_ids, LAYERS, HEADS)
    monkeypatch.setattr(taps, "MOST_ROWS", 64)
    assert np.allclose(weights_of(source, token_ids, LAYERS, HEADS), whole, atol=1e-5)


def test_equal_to_transformers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from convert.to_gguf import convert
    from tests import hf_samples

    small = hf_samples.config(hidden_size=64, intermediate_size=96, num_hidden_layers=3)
    reference = hf_samples.random_model(small)
    folder = hf_samples.save(tmp_path / "hf", reference)
    convert(folder, tmp_path / "model.gguf", outtype="f32")
    token_ids = np.random.default_rng(0).integers(0, 600, 50).tolist()
    reference.set_attn_implementation("eager")
    with torch.no_grad():
        expected = reference.eval()(torch.tensor([token_ids]), output_attentions=True).attentions
    expected = np.stack([layer[0].float().numpy() for layer in expected])
    with open_model(tmp_path / "model.gguf", probe=False) as opened:
        own = LlamaAttention(opened, EngineOptions(model=opened.path, threads=1), Interrupt())
        found = weights_of(own, token_ids, *expected.shape[:2])
    assert np.abs(found - expected).max() < 1e-4


def test_a_reader_that_fails_is_heard(source: LlamaAttention) -> None:
    seen: list[int] = []

    def fail(block: AttentionBlock) -> None:
        seen.append(block.layer)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        source(list(range(20)), fail)
    assert seen == [0]
    assert weights_of(source, [1, 2, 3], LAYERS, HEADS).sum() > 0  # and the next one works


def test_an_interrupt_ends_it(source: LlamaAttention) -> None:
    with pytest.raises(Interrupted):
        source(list(range(20)), lambda _block: source.interrupt.request())


def test_ids_outside_the_vocabulary_never_reach_llama(source: LlamaAttention) -> None:
    with pytest.raises(ValueError, match="outside the vocabulary"):
        source([1, 320], lambda _block: None)
    source([], lambda _block: pytest.fail("there is nothing to read"))


def test_what_is_too_much(source: LlamaAttention, monkeypatch: pytest.MonkeyPatch) -> None:
    assert piece_rows(300, heads=4, layers=8) == 300
    assert piece_rows(3000, heads=32, layers=24) < 512
    with pytest.raises(ResourceError, match="attention weights"):
        piece_rows(30_000, heads=32, layers=32)
    monkeypatch.setattr("mch_runtime.llama.memory.available_bytes", lambda: 1 << 20)
    with pytest.raises(ResourceError, match="attention of 20 tokens"):
        source(list(range(20)), lambda _block: None)
