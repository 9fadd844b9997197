"""Training is seeded, and goes on from its checkpoint as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from training import pretrain as module
from training.corpus import Corpus
from training.model import ModelConfig, Qwen2
from training.pretrain import PretrainConfig, _backward, _train, batches, collate

TINY = ModelConfig(
    vocab_size=40,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=64,
)
CONFIG = PretrainConfig(batch_tokens=256, checkpoint_every=2)


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

    def stop_at_the_sixth(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return collate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(module, "collate", stop_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            _train(0, 1, tmp_path / "corpus.npz", parts, TINY, CONFIG)
    assert weights(parts)["step"] == 4
    _train(0, 1, tmp_path / "corpus.npz", parts, TINY, CONFIG)
    one, other = weights(whole), weights(parts)
    assert (
        one.pop("step")
        == other.pop("step")
        == len(list(batches(corpus, seed=0, batch_tokens=CONFIG.batch_tokens)))
    )
    for name, tensor in one.items():
        assert torch.allclose(tensor, other[name], atol=1e-6), name


def test_every_example_comes_once(corpus: Corpus) -> None:
    groups = list(batches(corpus, seed=3, batch_tokens=128))
    assert sorted(np.concatenate(groups)) == list(range(len(corpus)))


def test_loss_is_on_the_targets_only(corpus: Corpus) -> None:
    token_ids, targets = collate(corpus, np.array([4]))
    first, last = corpus.starts[4], corpus.starts[5]
    context = corpus.contexts[4]
    assert token_ids[0, : last - first].tolist() == corpus.token_ids[first:last].tolist()
    assert targets[0][targets[0] >= 0].tolist() == corpus.token_ids[first + context : last].tolist()
    assert (targets[0, : context - 1] < 0).all()


def test_a_process_without_examples_has_no_loss(corpus: Corpus) -> None:
    loss, count = _backward(Qwen2(TINY), *collate(corpus, np.array([], dtype=np.int64)), 1)
    assert (loss, count) == (0.0, 0.0)
