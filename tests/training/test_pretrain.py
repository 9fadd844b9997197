"""Training is seeded, and goes on from its checkpoint as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional

from tests.training.tiny import TINY
from training import pretrain as module
from training.corpus import Corpus
from training.model import Qwen2, rotate
from training.pretrain import PretrainConfig, _backward, _train, batches, collate

CONFIG = PretrainConfig(batch_tokens=256, checkpoint_every=2, compiled=False)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 40, 80)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    made = Corpus(rng.integers(0, 40, starts[-1]).astype(np.uint16), starts, (lengths // 2).astype(np.int32))
    made.save(tmp_path / "corpus.npz")
    return made


def weights(folder: Path) -> dict[str, object]:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {"step": state["step"]} | state["model"]


def test_a_run_goes_on_from_its_checkpoint(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    _train(0, 1, tmp_path / "corpus.npz", whole, TINY, CONFIG)

    calls = []

    def stop_at_the_sixth(*arguments: object, **options: int) -> object:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return collate(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(module, "collate", stop_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            _train(0, 1, tmp_path / "corpus.npz", parts, TINY, CONFIG)
    assert weights(parts)["step"] == 4
    _train(0, 1, tmp_path / "corpus.npz", parts, TINY, CONFIG)
    one, other = weights(whole), weights(parts)
    assert one.pop("step") == other.pop("step") == len(batches(corpus, batch_tokens=CONFIG.batch_tokens))
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-6), name


def test_every_example_comes_once(corpus: Corpus) -> None:
    groups = batches(corpus, batch_tokens=128)
    assert sorted(np.concatenate(groups)) == list(range(len(corpus)))


def test_batches_of_one_length_have_one_shape(corpus: Corpus) -> None:
    shapes: dict[int, set[tuple[int, ...]]] = {}
    for indices in batches(corpus, batch_tokens=128):
        token_ids, targets = collate(corpus, indices, batch_tokens=128)
        assert token_ids.shape == targets.shape
        shapes.setdefault(token_ids.shape[1], set()).add(tuple(token_ids.shape))
    assert len(shapes) > 1
    assert all(len(found) == 1 for found in shapes.values())


def test_attention_is_the_fused_one() -> None:
    torch.manual_seed(0)
    model = Qwen2(replace(TINY, num_attention_heads=4, num_key_value_heads=2))
    attention, x = model.layers[0].self_attn, torch.randn(3, 7, 16)
    rotary = (model.cos[:7], model.sin[:7])

    def heads(projected: torch.Tensor) -> torch.Tensor:
        return projected.view(3, 7, -1, 4).transpose(1, 2)

    q, k, v = heads(attention.q_proj(x)), heads(attention.k_proj(x)), heads(attention.v_proj(x))
    fused = functional.scaled_dot_product_attention(
        rotate(q, rotary), rotate(k, rotary), v, is_causal=True, enable_gqa=True
    )
    expected = attention.o_proj(fused.transpose(1, 2).reshape(3, 7, 16))
    assert torch.allclose(attention(x, rotary), expected, atol=1e-6)


def test_a_stage_begins_with_the_weights_it_is_given(corpus: Corpus, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    _train(0, 1, tmp_path / "corpus.npz", first, TINY, CONFIG)
    still = replace(CONFIG, peak_lr=0.0)
    _train(0, 1, tmp_path / "corpus.npz", second, TINY, still, first / "checkpoint.pt")
    one, other = weights(first), weights(second)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items() if name != "step")


def test_loss_is_on_the_targets_only(corpus: Corpus) -> None:
    token_ids, targets = collate(corpus, np.array([4]))
    first, last = corpus.starts[4], corpus.starts[5]
    context = corpus.contexts[4]
    assert token_ids[0, : last - first].tolist() == corpus.token_ids[first:last].tolist()
    assert targets[0][targets[0] >= 0].tolist() == corpus.token_ids[first + context : last].tolist()
    assert (targets[0, : context - 1] < 0).all()


def test_a_process_without_examples_has_no_loss() -> None:
    nothing = torch.zeros((0, 16), dtype=torch.int64)
    assert _backward(Qwen2(TINY), nothing, nothing, 1) == (0.0, 0.0)
