"""What llama.cpp computes from a converted checkpoint against what transformers computes from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from convert.to_gguf import convert
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import LlamaModel, open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Block, Feed, Interrupt

N_TOKENS = 256


@pytest.fixture(scope="module")
def converted(tied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tied.gguf"
    convert(tied, path, outtype="f32")
    return path


@pytest.fixture(scope="module")
def model(converted: Path) -> Iterator[LlamaModel]:
    with open_model(converted, probe=False) as opened:
        yield opened


def llama_logits(path: Path, token_ids: list[int]) -> np.ndarray:
    """(n, n_vocab) logits after every token, with an F32 cache and without flash attention."""
    rows: list[np.ndarray] = []

    def keep(block: Block) -> None:
        rows.append(block.logits.copy())

    options = EngineOptions(model=path, flash_attention=False, kv_type="f32", threads=1)
    with (
        open_model(path, probe=False) as opened,
        open_session(opened, options, Interrupt()) as session,
        session.branch() as branch,
    ):
        session.decode([Feed(branch, token_ids)], keep)
    return np.concatenate(rows)


def transformers_logits(folder: Path, token_ids: list[int]) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor([token_ids])).logits[0].numpy()


def test_logits_equal_transformers(tied: Path, converted: Path) -> None:
    token_ids = np.random.default_rng(0).integers(0, 605, N_TOKENS).tolist()
    expected = transformers_logits(tied, token_ids)
    found = llama_logits(converted, token_ids)
    assert found.shape == expected.shape == (N_TOKENS, 632)
    assert expected.std() > 1  # differences would show
    assert np.abs(found - expected).max() < 1e-3


def test_logits_of_untied_bf16_equal_transformers(samples: ModuleType, tmp_path: Path) -> None:
    import torch

    settings = samples.config(tied=False, num_key_value_heads=4, rope_theta=10_000.0)
    folder = samples.save(
        tmp_path / "untied", samples.random_model(settings, seed=1, dtype=torch.bfloat16), shard_size="600KB"
    )
    convert(folder, tmp_path / "untied.gguf", outtype="f32")
    token_ids = np.random.default_rng(1).integers(0, 605, N_TOKENS).tolist()
    difference = llama_logits(tmp_path / "untied.gguf", token_ids) - transformers_logits(folder, token_ids)
    assert np.abs(difference).max() < 1e-3


def test_token_ids_of_varied_texts_equal_transformers(
    samples: ModuleType, tied: Path, model: LlamaModel
) -> None:
    tokenizer = samples.load_tokenizer(tied)
    texts = samples.varied_texts(1000)
    assert len(set(texts)) > 950
    for text in texts:
        expected = tokenizer(text).input_ids
        normal = model.vocabulary.normalize(text)
        assert model.vocabulary.tokenize(normal, parse_special=True) == expected, repr(text)


def test_stop_tokens_stop(samples: ModuleType, tied: Path, model: LlamaModel) -> None:
    stops = {i for i in range(model.vocabulary.size) if model.vocabulary.is_end(i)}
    tokenizer = samples.load_tokenizer(tied)
    assert stops == set(tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"]))
    assert not model.vocabulary.adds_bos
    assert set(model.vocabulary.specials) >= {*samples.CONTROL, *samples.USER_DEFINED}
