"""Directions out of pairs: the arithmetic, what is read of a model, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.contrast import Pair, contrast, direction, read_pairs
from mch_runtime.errors import DataError, Interrupted, UsageError
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaLayerOutputs
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from tests.gguf_samples import write_model

PAIRS = tuple(
    Pair(positive=f"the {word}", negative=f"an {word}") for word in ("cat", "house", "tree", "sea", "sun")
)


def test_the_mean_and_the_component_of_differences() -> None:
    random = np.random.default_rng(0)
    axis = np.array([3.0, 4.0, 0.0]) / 5
    differences = random.normal(2.0, 0.5, size=(200, 1)) * axis + random.normal(scale=0.05, size=(200, 3))
    mean = direction(differences, "mean")
    assert mean.dtype == np.float32
    assert np.allclose(mean, differences.mean(axis=0))
    pca = direction(differences, "pca")
    assert np.allclose(pca, 2.0 * axis, atol=0.15)
    assert np.allclose(direction(-differences, "pca"), -pca)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.gguf", n_layer=3)


def test_it_is_what_the_layers_put_out(model: Path) -> None:
    pairs = [Pair(positive="one two", negative="two", question=f"number {n}?") for n in range(5)]
    last = contrast(model, pairs, threads=1)
    whole = contrast(model, pairs, place="text", threads=1)
    assert (last.pairs, last.held_out) == (5, 1)
    assert sorted(last.vector.directions) == [1, 2]
    assert last.vector.made_for == "qwen2"
    assert last.vector.width == 64
    with open_model(model, probe=False) as opened:
        read = LlamaLayerOutputs(opened, EngineOptions(model=model, threads=1), Interrupt())
        size = opened.vocabulary.tokenize
        expected = {"last": np.zeros(64), "text": np.zeros(64)}
        for pair in pairs:
            for sign, text in ((1, pair.positive), (-1, pair.negative)):
                prompt = size(
                    f"<|im_start|>user\n{pair.question}<|im_end|>\n<|im_start|>assistant\n",
                    parse_special=True,
                )
                own = size(text)
                outputs: dict[int, np.ndarray] = {}
                read([prompt + own], outputs.__setitem__, longest=200)
                expected["last"] += sign * outputs[1][-1] / len(pairs)
                expected["text"] += sign * outputs[1][-len(own) :].mean(axis=0) / len(pairs)
    assert np.allclose(last.vector.directions[1], expected["last"], atol=1e-4)
    assert np.allclose(whole.vector.directions[1], expected["text"], atol=1e-4)


def test_long_texts_come_in_pieces(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [Pair(positive="one two " * 20, negative="two one " * 30, question="?") for _ in range(4)]
    whole = contrast(model, pairs, place="text", threads=1)
    monkeypatch.setattr("mch_runtime.llama.taps.MOST_ROWS", 16)
    parts = contrast(model, pairs, place="text", threads=1)
    assert np.allclose(whole.vector.directions[2], parts.vector.directions[2], atol=1e-4)


def test_layers_method_and_progress(model: Path) -> None:
    told: list[tuple[int, int]] = []
    made = contrast(
        model, PAIRS, method="pca", layers=(2, 2), threads=1, progress=lambda *pair: told.append(pair)
    )
    assert [one.layer for one in made.layers] == [2]
    assert made.layers[0].separation in (0.0, 1.0)
    assert made.layers[0].size > 0
    assert told[-1] == (10, 10)
    for layers in ((0, 1), (2, 1), (1, 3)):
        with pytest.raises(UsageError, match="cannot be steered"):
            contrast(model, PAIRS, layers=layers, threads=1)


def test_an_interrupt_ends_it(model: Path) -> None:
    interrupt = Interrupt()
    with pytest.raises(Interrupted):
        contrast(model, PAIRS, threads=1, interrupt=interrupt, progress=lambda *_: interrupt.request())


def test_a_model_of_one_layer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one layer"):
        contrast(write_model(tmp_path / "one.gguf", n_layer=1), PAIRS, threads=1)


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_pairs_are_read(tmp_path: Path) -> None:
    good = {"positive": "a", "negative": "b"}
    path = write_lines(tmp_path / "p.jsonl", good, "", good | {"question": "q"}, good, good)
    assert read_pairs(path)[:2] == (Pair("a", "b"), Pair("a", "b", "q"))
    with pytest.raises(DataError, match="has 2 pairs"):
        read_pairs(write_lines(tmp_path / "few.jsonl", good, good))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "not a pair"),
        ({"positive": "a"}, "not a pair"),
        ({"positive": "a", "negative": "b", "other": "c"}, "not a pair"),
        ({"positive": "a", "negative": 1}, "something else than texts"),
        ({"positive": "a", "negative": " "}, "empty question"),
        ({"positive": "a", "negative": "a"}, "the same text twice"),
        ('{"positive": "a", "positive": "c", "negative": "b"}', "occurs twice"),
    ],
)
def test_bad_pairs_name_their_line(tmp_path: Path, line: object, said: str) -> None:
    path = write_lines(tmp_path / "p.jsonl", {"positive": "a", "negative": "b"}, line)
    with pytest.raises(DataError, match=f"line 2.*{said}") as caught:
        read_pairs(path)
    assert caught.value.hint
