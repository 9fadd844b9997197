"""``--control-vector`` and ``sage head steer-fit`` as users type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mch_runtime.steering import decode
from tests.gguf_samples import write_model
from tests.sage_cli.fake_engine import FakeOpener
from tests.sage_cli.runner import run
from tests.steering_samples import write_vector


@pytest.mark.parametrize("command", [["ask", "Why?"], ["chat"]])
def test_files_and_scales_reach_the_engine(command: list[str], tmp_path: Path) -> None:
    there = tmp_path / "odd:2"
    there.touch()
    opener = FakeOpener()
    words = ["a.gguf", "b.gguf:0.8", "c:d.gguf:-1", str(there)]
    run(
        *command,
        *(part for word in words for part in ("--control-vector", word)),
        engine=opener,
        stdin=b"Q\n",
    )
    found = [(str(one.path), one.scale) for one in opener.engines[0].options.control_vectors]
    assert found == [("a.gguf", 1.0), ("b.gguf", 0.8), ("c:d.gguf", -1.0), (str(there), 1.0)]


def test_a_scale_that_is_none(tmp_path: Path) -> None:
    vector = write_vector(tmp_path / "v.gguf")
    refused = run("ask", "Why?", "--control-vector", f"{vector}:big")
    assert (refused.code, refused.out) == (2, "")
    assert "'big' is no scale" in refused.err


def write_pairs(path: Path, count: int = 6) -> Path:
    lines = [{"question": f"q {n}", "positive": f"one {n}", "negative": "two"} for n in range(count)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_a_vector_is_made_and_told_of(tmp_path: Path) -> None:
    model = str(write_model(tmp_path / "m.gguf", n_layer=3))
    pairs, output = str(write_pairs(tmp_path / "p.jsonl")), tmp_path / "v.gguf"
    made = run("head", "steer-fit", model, pairs, "-o", str(output), "--threads", "1")
    assert made.code == 0
    assert made.out.splitlines()[0] == "layer  direction / state  told apart, of 1 held-out pairs"
    assert [line.split()[0] for line in made.out.splitlines()[1:]] == ["1", "2"]
    assert made.err.startswith(f"{output}: directions of 2 layers, from 6 pairs, ")
    assert sorted(decode(output.read_bytes(), output).directions) == [1, 2]

    again = run("head", "steer-fit", model, pairs, "-o", str(output), "--layers", "2", "--json", "-q")
    assert again.err == ""
    assert [layer["layer"] for layer in again.json["layers"]] == [2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--layers", "x"], 2, "'x' is no range"),
        (["--layers", "0-1"], 2, "layers 0-1 cannot be steered"),
        (["--method", "sum"], 2, "not possible"),
    ],
)
def test_what_is_refused_leaves_no_file(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    model, pairs = write_model(tmp_path / "m.gguf"), write_pairs(tmp_path / "p.jsonl")
    output = tmp_path / "v.gguf"
    refused = run("head", "steer-fit", str(model), str(pairs), "-o", str(output), *words)
    assert refused.code == code
    assert said in refused.err
    assert not output.exists()


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    model, pairs = write_model(tmp_path / "m.gguf"), write_pairs(tmp_path / "p.jsonl")
    refused = run("head", "steer-fit", str(model), str(pairs), "-o", str(model))
    assert refused.code == 2
    assert model.read_bytes()[:4] == b"GGUF"
    few = run("head", "steer-fit", str(model), str(write_pairs(pairs, 2)), "-o", str(tmp_path / "v"))
    assert few.code == 65
    assert "has 2 pairs" in few.err
