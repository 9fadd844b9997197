"""What works with every architecture that the guard lets in, on tiny random models; docs/models.md has the table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.attention import AttentionBlock
from mch_runtime.contrast import Pair, contrast
from mch_runtime.engine import Engine
from mch_runtime.gguf.architectures import ARCHITECTURES
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaAttention
from mch_runtime.options import AskOptions, EngineOptions, VectorFile
from mch_runtime.session import Interrupt
from mch_runtime.steering import write
from quant.importance import compute
from quant.quantize import quantize
from quant.texts import Text
from tests.gguf_samples import write_model

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
QUESTION = "How many apples?"


@pytest.fixture(params=sorted(ARCHITECTURES))
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.gguf", architecture=request.param, n_layer=3)


def said(model: Path, *vectors: VectorFile) -> tuple[int, ...]:
    options = EngineOptions(model=model, threads=1, control_vectors=vectors)
    with Engine.open(options) as engine:
        return engine.ask(QUESTION, AskOptions(max_tokens=12)).token_ids


def test_asked_and_steered(model: Path, tmp_path: Path) -> None:
    made = contrast(model, [Pair(f"one {n}", f"two {n}", "?") for n in range(4)], threads=1)
    assert sorted(made.vector.directions) == [1, 2]
    write(made.vector, tmp_path / "v.gguf", notes={})
    plain = said(model)
    assert len(plain) == 12
    assert said(model, VectorFile(tmp_path / "v.gguf", 0.0)) == plain
    assert said(model, VectorFile(tmp_path / "v.gguf", 50.0)) != plain


def test_quantized_with_an_importance_matrix(model: Path, tmp_path: Path) -> None:
    matrix = compute(model, Text(name="words", parts=("a house and a tree " * 40,), window=64), threads=1)
    assert len(matrix.sums) >= 3 * 4
    quantize(model, tmp_path / "q.gguf", type_name="Q8_0", threads=1, importance=matrix)
    assert len(said(tmp_path / "q.gguf")) == 12


def test_attention_is_seen(model: Path) -> None:
    layers: list[int] = []

    def read(block: AttentionBlock) -> None:
        assert np.allclose(block.weights.sum(axis=-1), 1, atol=1e-3)
        layers.append(block.layer)

    with open_model(model, probe=False) as opened:
        options = EngineOptions(model=model, threads=1)
        LlamaAttention(opened, options, Interrupt())(list(range(5, 25)), read)
    assert layers == [0, 1, 2]


def test_the_page_has_them_all() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(rows) >= set(ARCHITECTURES)
