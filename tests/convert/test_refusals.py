"""Bad checkpoints: one clear sentence, no output, nothing else."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from convert.to_gguf import convert
from mch_runtime.errors import DataError, MissingInputError, SageError, UsageError

Edit = Callable[[Path, Callable[[dict], object]], None]
WEIGHTS = "model.safetensors"
LLAMA_3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
NORM = "model.norm.weight"


def refused(source: Path, tmp_path: Path, outtype: str = "f32") -> SageError:
    with pytest.raises(SageError) as caught:
        convert(source, tmp_path / "out.gguf", outtype=outtype)
    assert not list(tmp_path.glob("*out.gguf*"))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    return caught.value


def change_weights(folder: Path, how: Callable[[dict[str, np.ndarray]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    how(weights)
    save_file(weights, folder / WEIGHTS)


def test_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert isinstance(refused(tmp_path / "file", tmp_path), UsageError)
    assert "is not a folder" in refused(tmp_path / "nowhere", tmp_path).message


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = refused(tmp_path / "empty", tmp_path)
    assert isinstance(error, MissingInputError)
    assert "neither model.safetensors nor" in error.message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_missing_file(tiny: Path, tmp_path: Path, name: str) -> None:
    (tiny / name).unlink()
    error = refused(tiny, tmp_path)
    assert isinstance(error, MissingInputError)
    assert name in error.message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1, "a": 2}', "[" * 100_000, '"\\ud800"'])
def test_broken_json(tiny: Path, tmp_path: Path, name: str, text: str) -> None:
    (tiny / name).write_text(text)
    error = refused(tiny, tmp_path)
    assert isinstance(error, DataError)
    assert name in error.message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "pytorch_model-00001-of-00002.bin"])
def test_pickle_only(tiny: Path, tmp_path: Path, name: str) -> None:
    (tiny / WEIGHTS).rename(tiny / name)
    error = refused(tiny, tmp_path)
    assert "pickle" in error.message
    assert "safetensors" in error.hint


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02", b"\x80\x04"])
def test_pickle_under_a_false_name(tiny: Path, tmp_path: Path, start: bytes) -> None:
    (tiny / WEIGHTS).write_bytes(start + bytes(100))
    assert "pickle" in refused(tiny, tmp_path).message


def test_git_lfs_pointer(tiny: Path, tmp_path: Path) -> None:
    (tiny / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    error = refused(tiny, tmp_path)
    assert "not a complete safetensors file" in error.message
    assert "LFS" in error.hint


def test_truncated_weights(tiny: Path, tmp_path: Path) -> None:
    os.truncate(tiny / WEIGHTS, (tiny / WEIGHTS).stat().st_size - 1)
    assert "within the file" in refused(tiny, tmp_path).message


def test_trailing_bytes(tiny: Path, tmp_path: Path) -> None:
    with (tiny / WEIGHTS).open("ab") as file:
        file.write(b"x")
    assert "exactly" in refused(tiny, tmp_path).message


def test_named_pipe_does_not_hang(tiny: Path, tmp_path: Path) -> None:
    (tiny / WEIGHTS).unlink()
    os.mkfifo(tiny / WEIGHTS)
    assert "not a regular file" in refused(tiny, tmp_path).message


def test_missing_shard(tiny_shards: Path, tmp_path: Path) -> None:
    next(tiny_shards.glob("model-00002*")).unlink()
    error = refused(tiny_shards, tmp_path)
    assert isinstance(error, MissingInputError)
    assert "model-00002" in error.message


@pytest.mark.parametrize(
    "shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "", ".safetensors", "x.bin"]
)
def test_shard_outside_the_folder(tiny_shards: Path, tmp_path: Path, edit: Edit, shard: str) -> None:
    edit(tiny_shards / "model.safetensors.index.json", lambda i: i["weight_map"].update({NORM: shard}))
    assert "in the same folder" in refused(tiny_shards, tmp_path).message


def test_index_without_a_map(tiny_shards: Path, tmp_path: Path, edit: Edit) -> None:
    edit(tiny_shards / "model.safetensors.index.json", lambda i: i.pop("weight_map"))
    assert "weight_map" in refused(tiny_shards, tmp_path).message


def test_index_lists_what_no_shard_holds(tiny_shards: Path, tmp_path: Path, edit: Edit) -> None:
    def add(index: dict) -> None:
        index["weight_map"]["ghost"] = index["weight_map"][NORM]

    edit(tiny_shards / "model.safetensors.index.json", add)
    assert "does not hold it" in refused(tiny_shards, tmp_path).message


def test_shard_holds_what_the_index_does_not_list(tiny_shards: Path, tmp_path: Path, edit: Edit) -> None:
    edit(tiny_shards / "model.safetensors.index.json", lambda i: i["weight_map"].pop(NORM))
    assert "does not list" in refused(tiny_shards, tmp_path).message


def test_tensor_in_two_shards(tiny_shards: Path, tmp_path: Path) -> None:
    first, second = sorted(tiny_shards.glob("model-*.safetensors"))[:2]
    weights = load_file(first) | load_file(second)
    save_file(weights, second)
    error = refused(tiny_shards, tmp_path)
    assert "is in both" in error.message


@pytest.mark.parametrize("name", ["GPTNeoXForCausalLM", "Qwen2ForSequenceClassification", None, 7])
def test_unknown_architecture(tiny: Path, tmp_path: Path, edit: Edit, name: object) -> None:
    edit(tiny / "config.json", lambda c: c.update(architectures=[name]))
    error = refused(tiny, tmp_path)
    assert "is not supported" in error.message
    assert not isinstance(name, str) or name in error.message
    assert "Qwen2ForCausalLM" in error.hint


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["Qwen3MoeForCausalLM"]},
        {"architectures": ["MixtralForCausalLM"]},
        {"architectures": ["LlamaForCausalLM"], "num_local_experts": 8},
    ],
)
def test_mixture_of_experts(tiny: Path, tmp_path: Path, edit: Edit, change: dict) -> None:
    edit(tiny / "config.json", lambda c: c.update(change))
    error = refused(tiny, tmp_path)
    assert "is a mixture of experts, which sage does not support" in error.message
    assert "dense" in error.hint


def test_broken_sampling_settings(tiny: Path, tmp_path: Path, edit: Edit) -> None:
    edit(tiny / "generation_config.json", lambda g: g.update(temperature="warm"))
    assert "temperature is 'warm'" in refused(tiny, tmp_path).message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"num_hidden_layers": None}, "num_hidden_layers is None"),
        ({"num_attention_heads": 5}, "do not divide"),
        ({"num_key_value_heads": 3}, "do not divide"),
        ({"head_dim": 32}, "has shape 64 x 64, config.json says 128 x 64"),
        ({"head_dim": 15}, "do not divide"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps"),
        ({"rms_norm_eps": 2}, "rms_norm_eps is 2, expected a number above 0, up to 1"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"hidden_act": "gelu"}, "hidden_act gelu"),
        ({"use_sliding_window": True}, "sliding-window"),
        ({"layer_types": ["sliding_attention"]}, "sliding-window"),
        ({"rope_scaling": {"type": "dynamic", "factor": 4.0}}, "type dynamic"),
        ({"rope_scaling": {"type": "longrope", "factor": 4.0}}, "type longrope"),
        ({"rope_scaling": {"type": "yarn", "factor": 0.5}}, "factor is 0.5"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_slow": 2.0}}, "beta_slow other than 1"),
        ({"rope_scaling": {"type": "yarn", "factor": 4.0, "truncate": False}}, "without truncation"),
        ({"rope_scaling": {"type": "yarn", "factor": float("nan")}}, "factor is nan"),
        ({"rope_scaling": {"type": "linear", "factor": 4.0, "mrope_section": [1]}}, "mrope_section"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1.0}}, "factor is missing"),
        ({"rope_scaling": LLAMA_3_ROPE}, "type llama3 for qwen2"),
        ({"rope_scaling": LLAMA_3_ROPE | {"high_freq_factor": 1.0}}, "high_freq_factor is 1.0"),
        ({"partial_rotary_factor": 0.5}, "rotary part smaller than a head"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized weights"),
        ({"hidden_size": 128}, "config.json says"),
        ({"num_hidden_layers": 2}, "lacks the tensor model.layers.1."),
        ({"vocab_size": 600}, "600 embeddings"),
        ({"eos_token_id": 632}, "eos_token_id"),
        ({"tie_word_embeddings": True}, "differs from"),
    ],
)
def test_bad_configuration(tiny: Path, tmp_path: Path, edit: Edit, change: dict, expected: str) -> None:
    edit(tiny / "config.json", lambda c: c.update(change))
    error = refused(tiny, tmp_path)
    assert isinstance(error, DataError)
    assert expected in error.message


def test_missing_tensor(tiny: Path, tmp_path: Path) -> None:
    change_weights(tiny, lambda w: w.pop(NORM))
    assert f"lacks the tensor {NORM}" in refused(tiny, tmp_path).message


def test_missing_output_matrix(tiny: Path, tmp_path: Path) -> None:
    change_weights(tiny, lambda w: w.pop("lm_head.weight"))
    assert "lacks the tensor lm_head.weight" in refused(tiny, tmp_path).message


def test_unexpected_tensor(tiny: Path, tmp_path: Path) -> None:
    change_weights(tiny, lambda w: w.update({"lora_A.weight": np.zeros(3, np.float32)}))
    assert "has a tensor lora_A.weight" in refused(tiny, tmp_path).message


def test_wrong_shape(tiny: Path, tmp_path: Path) -> None:
    change_weights(tiny, lambda w: w.update({NORM: np.ones(63, np.float32)}))
    assert f"{NORM} has shape 63, config.json says 64" in refused(tiny, tmp_path).message


def test_transposed_matrix(tiny: Path, tmp_path: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    change_weights(tiny, lambda w: w.update({name: np.ascontiguousarray(w[name].T)}))
    assert "has shape 96 x 64, config.json says 64 x 96" in refused(tiny, tmp_path).message


@pytest.mark.parametrize("dtype", [np.int8, np.float64, np.int64])
def test_wrong_type(tiny: Path, tmp_path: Path, dtype: type) -> None:
    change_weights(tiny, lambda w: w.update({NORM: np.ones(64, dtype)}))
    assert "supported are F32, F16, BF16" in refused(tiny, tmp_path).message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [NORM, "model.layers.0.mlp.up_proj.weight"])
def test_not_finite(tiny: Path, tmp_path: Path, value: float, name: str) -> None:
    change_weights(tiny, lambda w: w[name].reshape(-1).__setitem__(-1, value))
    error = refused(tiny, tmp_path, "q8_0")
    assert f"{name} has values that are NaN or infinite" in error.message


@pytest.mark.parametrize(("outtype", "value"), [("f16", 7e4), ("bf16", 3.4e38), ("q8_0", -1e7)])
def test_too_large_for_the_type(tiny: Path, tmp_path: Path, outtype: str, value: float) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change_weights(tiny, lambda w: w[name].reshape(-1).__setitem__(0, value))
    assert "too large for" in refused(tiny, tmp_path, outtype).message
    convert(tiny, tmp_path / "out.gguf", outtype="f32")


def rewrite_header(path: Path, how: Callable[[dict], object]) -> None:
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    how(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [-64]},
        {"shape": [64, 2**63]},
        {"shape": [2**62, 2**62, 4]},
        {"shape": "64"},
        {"shape": [1] * 5},
        {"shape": [64.0]},
        {"data_offsets": [0]},
        {"data_offsets": [0, 2**70]},
        {"data_offsets": [256, 0]},
        {"data_offsets": [0, 256]},
        {"dtype": None},
        {"dtype": "F8_E4M3"},
    ],
)
def test_lying_header(tiny: Path, tmp_path: Path, entry: dict) -> None:
    rewrite_header(tiny / WEIGHTS, lambda h: h[NORM].update(entry))
    assert isinstance(refused(tiny, tmp_path), DataError)


def test_output_is_an_input(tiny: Path, tmp_path: Path) -> None:
    before = (tiny / WEIGHTS).read_bytes()
    link = tmp_path / "link.gguf"
    link.hardlink_to(tiny / WEIGHTS)
    for output in (tiny / WEIGHTS, tiny / "config.json", link):
        with pytest.raises(UsageError, match="one of the inputs"):
            convert(tiny, output, outtype="f32")
    assert (tiny / WEIGHTS).read_bytes() == before


def test_no_place_for_the_output(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(SageError, match="nowhere") as caught:
        convert(tiny, tmp_path / "nowhere" / "out.gguf", outtype="f32")
    assert not isinstance(caught.value, DataError)


def test_output_is_a_folder(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(SageError):
        convert(tiny, tmp_path / "taken", outtype="f32")


def test_hub_cache_links_are_followed(samples: ModuleType, tiny: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in tiny.iterdir():
        (snapshot / path.name).symlink_to(path)
    convert(snapshot, tmp_path / "linked.gguf", outtype="f32", name="x")
    convert(tiny, tmp_path / "plain.gguf", outtype="f32", name="x")
    assert (tmp_path / "linked.gguf").read_bytes() == (tmp_path / "plain.gguf").read_bytes()
