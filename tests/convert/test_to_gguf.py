from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest

from convert.to_gguf import convert
from mch_runtime.errors import HeadError, MissingInputError, SageError
from mch_runtime.gguf_file import open_checked, read_gguf
from mch_runtime.head.container import verify, write_safetensors_head
from mch_runtime.head.spec import Head
from tests.head_samples import random_head


def tensors_of(path: Path) -> dict[str, gguf.ReaderTensor]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def metadata_of(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return dict(read_gguf(file.fileno()).metadata)


def stored_weights(samples: ModuleType) -> dict[str, np.ndarray]:
    model = samples.random_model(samples.config())
    return {name: value.numpy() for name, value in model.state_dict().items()}


def test_metadata_is_what_llama_cpp_expects_of_qwen2(tied: Path, tmp_path: Path) -> None:
    report = convert(tied, tmp_path / "out.gguf", outtype="f16", name="Sample")
    found = metadata_of(tmp_path / "out.gguf")
    tokens = found.pop("tokenizer.ggml.tokens")
    types = found.pop("tokenizer.ggml.token_type")
    merges = found.pop("tokenizer.ggml.merges")
    assert found.pop("tokenizer.chat_template").startswith("{% for message in messages %}")
    assert found.pop("qwen2.attention.layer_norm_rms_epsilon") == pytest.approx(1e-6)
    assert found == {
        "general.architecture": "qwen2",
        "general.type": "model",
        "general.name": "Sample",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "qwen2.block_count": 2,
        "qwen2.context_length": 512,
        "qwen2.embedding_length": 256,
        "qwen2.feed_forward_length": 512,
        "qwen2.attention.head_count": 4,
        "qwen2.attention.head_count_kv": 2,
        "qwen2.rope.freq_base": 1e6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.bos_token_id": 600,
        "tokenizer.ggml.eos_token_id": 602,
        "tokenizer.ggml.eot_token_id": 600,
        "tokenizer.ggml.padding_token_id": 600,
        "tokenizer.ggml.add_bos_token": False,
        "sage.tokenizer.normalizer": "NFC",
    }
    assert len(tokens) == len(types) == len(set(tokens)) == 632
    assert tokens[600:606] == (
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "[PAD605]",
    )  # fmt: skip
    assert types[599:606] == (1, 3, 3, 3, 4, 4, 5)
    assert all(merge.count(" ") == 1 for merge in merges)
    assert report.architecture == "qwen2"
    assert report.tensors == 26
    assert report.head is None
    assert report.bytes_written == (tmp_path / "out.gguf").stat().st_size


def test_weights_are_the_checkpoints(samples: ModuleType, tied: Path, tmp_path: Path) -> None:
    convert(tied, tmp_path / "out.gguf", outtype="f32")
    weights, written = stored_weights(samples), tensors_of(tmp_path / "out.gguf")
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "blk.1.attn_q.bias": "model.layers.1.self_attn.q_proj.bias",
        "blk.0.attn_k.weight": "model.layers.0.self_attn.k_proj.weight",
        "blk.1.attn_output.weight": "model.layers.1.self_attn.o_proj.weight",
        "blk.0.ffn_norm.weight": "model.layers.0.post_attention_layernorm.weight",
        "blk.1.ffn_down.weight": "model.layers.1.mlp.down_proj.weight",
    }
    for target, source in pairs.items():
        assert np.array_equal(written[target].data, weights[source]), target
    assert "output.weight" not in written


@pytest.mark.parametrize("outtype", ["f16", "bf16", "q8_0"])
def test_matrices_are_quantized_as_gguf_py_does(
    samples: ModuleType, tied: Path, tmp_path: Path, outtype: str
) -> None:
    convert(tied, tmp_path / "out.gguf", outtype=outtype)
    kind = gguf.GGMLQuantizationType[outtype.upper()]
    weights, written = stored_weights(samples), tensors_of(tmp_path / "out.gguf")
    matrix = written["blk.0.ffn_down.weight"]
    assert matrix.tensor_type == kind
    expected = gguf.quants.quantize(weights["model.layers.0.mlp.down_proj.weight"], kind)
    assert matrix.data.tobytes() == expected.tobytes()
    assert written["blk.0.attn_q.bias"].tensor_type == written["output_norm.weight"].tensor_type == 0


def test_blocks_do_not_show(tied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(tied, tmp_path / "whole.gguf", outtype="q8_0", name="x")
    monkeypatch.setattr("convert.writer.BLOCK_ELEMENTS", 1000)
    convert(tied, tmp_path / "rows.gguf", outtype="q8_0", name="x")
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "rows.gguf").read_bytes()


def test_rows_that_do_not_divide_into_blocks_become_f16(samples: ModuleType, tmp_path: Path) -> None:
    model = samples.random_model(samples.config(hidden_size=64, intermediate_size=72, num_hidden_layers=1))
    convert(samples.save(tmp_path / "odd", model), tmp_path / "out.gguf", outtype="q8_0")
    written = tensors_of(tmp_path / "out.gguf")
    assert written["blk.0.ffn_down.weight"].tensor_type == gguf.GGMLQuantizationType.F16
    assert written["blk.0.ffn_up.weight"].tensor_type == gguf.GGMLQuantizationType.Q8_0


def test_shards_and_forms_of_the_files_make_no_difference(tied: Path, sharded: Path, tmp_path: Path) -> None:
    assert len(list(sharded.glob("model-*.safetensors"))) > 3
    assert "chat_template" not in json.loads((sharded / "tokenizer_config.json").read_text())
    convert(tied, tmp_path / "one.gguf", outtype="f32", name="x")
    convert(sharded, tmp_path / "many.gguf", outtype="f32", name="x")
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "many.gguf").read_bytes()


def test_untied_has_an_output_matrix(tiny: Path, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "out.gguf", outtype="f32")
    written = tensors_of(tmp_path / "out.gguf")
    assert written["output.weight"].data.shape == written["token_embd.weight"].data.shape
    assert not np.array_equal(written["output.weight"].data, written["token_embd.weight"].data)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_sources(samples: ModuleType, tmp_path: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    small = samples.config(hidden_size=64, intermediate_size=96, num_hidden_layers=1)
    model = samples.random_model(small, dtype=getattr(torch, name))
    convert(samples.save(tmp_path / "half", model), tmp_path / "out.gguf", outtype="f32")
    written = tensors_of(tmp_path / "out.gguf")
    expected = model.state_dict()["model.layers.0.mlp.up_proj.weight"].float().numpy()
    assert np.array_equal(written["blk.0.ffn_up.weight"].data, expected)


def test_bf16_to_bf16_keeps_every_bit(samples: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    small = samples.config(hidden_size=64, intermediate_size=96, num_hidden_layers=1)
    model = samples.random_model(small, dtype=torch.bfloat16)
    convert(samples.save(tmp_path / "half", model), tmp_path / "out.gguf", outtype="bf16")
    expected = model.state_dict()["model.embed_tokens.weight"].view(torch.uint8).numpy()
    assert tensors_of(tmp_path / "out.gguf")["token_embd.weight"].data.tobytes() == expected.tobytes()


def test_progress_ends_with_everything(tiny: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    convert(
        tiny, tmp_path / "out.gguf", outtype="f16", progress=lambda done, total: calls.append((done, total))
    )
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1] > 0


def test_name_comes_from_the_folder(tiny: Path, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "out.gguf", outtype="f16")
    assert metadata_of(tmp_path / "out.gguf")["general.name"] == "tiny"
    odd = tiny.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    convert(odd, tmp_path / "out.gguf", outtype="f16")
    assert metadata_of(tmp_path / "out.gguf")["general.name"] == "caf?"


def test_output_is_replaced_whole_or_not_at_all(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    output.write_bytes(b"before")

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(tiny, output, outtype="f32", progress=stop)
    assert output.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gguf", "tiny"]
    convert(tiny, output, outtype="f32")
    with open_checked(output) as (_, header):
        assert header.metadata["general.architecture"] == "qwen2"


def test_tied_embeddings_stored_twice(tiny: Path, tmp_path: Path, edit) -> None:
    from safetensors.numpy import load_file, save_file

    edit(tiny / "config.json", lambda c: c.update(tie_word_embeddings=True))
    weights = load_file(tiny / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    save_file(weights, tiny / "model.safetensors")
    convert(tiny, tmp_path / "out.gguf", outtype="f32")
    assert "output.weight" not in tensors_of(tmp_path / "out.gguf")


@pytest.fixture
def fitting_head(tiny: Path, tmp_path: Path) -> Head:
    report = convert(tiny, tmp_path / "bare.gguf", outtype="f32")
    return random_head(d=64, base_fingerprint=report.fingerprint)


def test_the_head_of_the_folder_is_put_behind_the_base(
    tiny: Path, tmp_path: Path, fitting_head: Head
) -> None:
    write_safetensors_head(fitting_head, tiny / "head.safetensors")
    report = convert(tiny, tmp_path / "out.gguf", outtype="q8_0")
    assert report.head == "sample head"
    assert report.bytes_written == (tmp_path / "out.gguf").stat().st_size
    checked = verify(tmp_path / "out.gguf")
    assert (checked.place, checked.problem) == ("tail", "")
    assert checked.fingerprint == report.fingerprint == fitting_head.spec.base_fingerprint


def test_a_head_from_elsewhere_counts_before_the_folders(
    tiny: Path, tmp_path: Path, fitting_head: Head
) -> None:
    (tiny / "head.safetensors").write_bytes(b"not a head")
    write_safetensors_head(fitting_head, tmp_path / "other.safetensors")
    report = convert(tiny, tmp_path / "out.gguf", outtype="f32", head=tmp_path / "other.safetensors")
    assert report.head == "sample head"
    with pytest.raises(SageError):
        convert(tiny, tmp_path / "never.gguf", outtype="f32")


def test_a_head_of_another_base_is_refused(tiny: Path, tmp_path: Path) -> None:
    write_safetensors_head(random_head(d=64, base_fingerprint="1" * 64), tiny / "head.safetensors")
    with pytest.raises(HeadError, match="was fitted on"):
        convert(tiny, tmp_path / "out.gguf", outtype="f32")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_missing_head_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="nowhere"):
        convert(tiny, tmp_path / "out.gguf", outtype="f32", head=tmp_path / "nowhere.safetensors")
