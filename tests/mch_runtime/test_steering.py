"""Control vectors: the file, what is refused, and that llama.cpp adds what the file says where it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.engine import Engine
from mch_runtime.errors import DataError, MissingInputError, SageError, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.gguf.reader import read_tensor
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.llama.taps import LlamaLayerOutputs
from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions, VectorFile
from mch_runtime.session import Block, Feed, Interrupt
from mch_runtime.steering import ControlVector, decode, read_vectors, steering, write
from mch_runtime.wire import from_wire, to_wire
from sage_cli.assets import DEFAULT_MODEL
from tests.gguf_samples import write_model
from tests.steering_samples import write_raw, write_vector

LAYERS, WIDTH = 3, 64
ROW = np.ones(WIDTH, dtype=np.float32)
TOKENS = [5, 80, 3, 200, 41]
QUESTION = "Ben has 4 apples. Anna has 3 more apples than Ben. How many apples does Anna have?"


def steered(*files: VectorFile, layers: int = LAYERS, width: int = WIDTH) -> np.ndarray:
    found = steering(read_vectors(files), layers=layers, width=width, architecture="qwen2")
    assert found is not None
    return found.directions


def test_written_and_read_again(tmp_path: Path) -> None:
    vector = ControlVector(directions={1: ROW, 4: 2 * ROW}, made_for="llama")
    write(vector, tmp_path / "v.gguf", notes={"method": "mean", "pairs": 3})
    again = decode((tmp_path / "v.gguf").read_bytes(), tmp_path / "v.gguf")
    assert again.made_for == "llama"
    assert {layer: row.tolist() for layer, row in again.directions.items()} == {
        1: ROW.tolist(),
        4: (2 * ROW).tolist(),
    }


def test_vectors_add_up_times_their_scales(tmp_path: Path) -> None:
    one = write_raw(tmp_path / "one.gguf", {"direction.1": ROW})
    other = write_raw(tmp_path / "other.gguf", {"direction.2": ROW, "direction.1": 2 * ROW})
    total = steered(VectorFile(one, -1.0), VectorFile(other, 0.5))
    assert total.shape == (LAYERS - 1, WIDTH)
    assert total[:, 0].tolist() == [0.0, 0.5]
    assert steering((), layers=LAYERS, width=WIDTH, architecture="qwen2") is None


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"direction.0": ROW}, "steers layer 0"),
        ({"direction.01": ROW}, "steers layer 01"),
        ({"direction.x": ROW}, "no direction of a layer"),
        ({"direction.-1": ROW}, "no direction of a layer"),
        ({"blk.0.attn_q.weight": ROW}, "no direction of a layer"),
        ({"direction.1": ROW.astype(np.float16)}, "is F16"),
        ({"direction.1": np.ones((2, WIDTH), dtype=np.float32)}, r"of shape \(2, 64\)"),
        ({"direction.1": np.append(ROW[1:], np.float32(np.nan))}, "not finite"),
        ({"direction.1": ROW, "direction.2": ROW[1:]}, "differ in length"),
        ({"direction.1": ROW[:32]}, "have 32 numbers, the model's states 64"),
        ({"direction.1": ROW, "direction.3": ROW}, "steers layer 3, and the model's last one is 2"),
        ({}, "holds no directions"),
    ],
)
def test_what_is_refused(tmp_path: Path, tensors: dict[str, np.ndarray], said: str) -> None:
    path = write_raw(tmp_path / "v.gguf", tensors)
    with pytest.raises(DataError, match=said) as caught:
        steered(VectorFile(path))
    assert caught.value.hint


def test_other_files_and_scales_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "v.txt"
    text.write_text("hello")
    with pytest.raises(DataError, match="not a GGUF file"):
        read_vectors([VectorFile(text)])
    with pytest.raises(DataError, match="not a control vector"):
        read_vectors([VectorFile(write_raw(tmp_path / "o.gguf", {"direction.1": ROW}, architecture="mch"))])
    with pytest.raises(MissingInputError):
        read_vectors([VectorFile(tmp_path / "none.gguf")])
    whole = write_raw(tmp_path / "v.gguf", {"direction.1": ROW})
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole.read_bytes()[:-8])
    with pytest.raises(DataError, match="cut"):
        read_vectors([VectorFile(cut)])
    with pytest.raises(UsageError, match="too large"):
        steered(VectorFile(whole, 1e9))


def test_llama_adds_the_direction_to_the_layers_output(tmp_path: Path) -> None:
    model_path = write_model(tmp_path / "m.gguf", n_layer=LAYERS)
    last = write_vector(tmp_path / "last.gguf", layers=(LAYERS - 1,), size=1.0)
    options = EngineOptions(model=model_path, threads=1, flash_attention=False, kv_type="f32")
    states: list[np.ndarray] = []

    def keep(block: Block) -> None:
        states.append(block.hidden[0].copy())

    with open_model(model_path, probe=False) as model, open_session(model, options, Interrupt()) as session:
        outputs: dict[int, np.ndarray] = {}
        LlamaLayerOutputs(model, options, Interrupt())([TOKENS], outputs.__setitem__, longest=len(TOKENS))
        norm = read_tensor(model.fd, model.gguf, "output_norm.weight")
        assert sorted(outputs) == list(range(LAYERS))
        for scale in (0.0, 3.0):
            # The first pass has made a graph without a direction, which must not be used again.
            found = steering(
                read_vectors([VectorFile(last, scale)]), layers=LAYERS, width=WIDTH, architecture="qwen2"
            )
            assert found is not None
            if scale:
                session.steer(found)
            with session.branch() as branch:
                session.decode([Feed.last(branch, TOKENS)], keep)
            raw = outputs[LAYERS - 1][-1] + found.directions[-1]
            expected = raw / np.sqrt(np.mean(raw**2) + 1e-6) * norm
            assert np.abs(states[-1] - expected).max() < 1e-3
    assert np.abs(states[0] - states[1]).max() > 0.1


def test_a_steered_answer_says_so_and_has_no_confidence(tmp_path: Path) -> None:
    vector = write_vector(tmp_path / "v.gguf", layers=(3,), width=256, size=0.001)
    options = EngineOptions(model=DEFAULT_MODEL, control_vectors=(VectorFile(vector, 0.5),))
    with Engine.open(options) as engine:
        assert "steered by v.gguf at 0.5: confidence is not known" in engine.notices
        trace = engine.ask(QUESTION, AskOptions())
        explained = engine.explain(trace, ExplainOptions(premises=False, alternatives=False))
    assert trace.answer == "7"
    assert (trace.confidence, trace.confidence_basis, trace.familiar) == (None, None, None)
    assert trace.confidence_raw is not None
    assert [(one.file, one.scale) for one in trace.model.control_vectors] == [(str(vector), 0.5)]
    assert all(step.confidence is None for step in trace.steps)
    assert from_wire(to_wire(trace)) == replace(from_wire(to_wire(trace)), model=trace.model)
    assert not foreign(explained)
    with Engine.open(EngineOptions(model=DEFAULT_MODEL)) as engine:
        again = engine.explain(trace, ExplainOptions(premises=False, alternatives=False))
    assert foreign(again)


def foreign(explanation: Explanation) -> bool:
    """Whether a chain was read as anybody's: it then costs no generated tokens."""
    return explanation.trace.cost.generated_tokens == 0


def test_a_vector_of_another_model_leaves_nothing_open(tmp_path: Path) -> None:
    wrong = write_vector(tmp_path / "v.gguf", width=32)
    with pytest.raises(SageError, match="another model"):
        Engine.open(EngineOptions(model=DEFAULT_MODEL, control_vectors=(VectorFile(wrong),)))
