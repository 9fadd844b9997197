"""``python -m tests.pico_checkpoint FOLDER``: the embedded model as a Hugging Face folder, as published ones look.

Weights are sage-pico's, out of Q8_0, in float32; docs/own-model.md begins with such a folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import save_file

from benchmarks.convert_speed import PATTERN
from mch_runtime.gguf_file import open_checked
from sage_cli.assets import DEFAULT_MODEL

_LAYER = {
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    **{
        f"attn_{part}.{kind}": f"self_attn.{part}_proj.{kind}"
        for part in "qkv"
        for kind in ("weight", "bias")
    },
    **{f"ffn_{part}.weight": f"mlp.{part}_proj.weight" for part in ("gate", "up", "down")},
}
_MODEL = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
_CONTROL = 3  # in tokenizer.ggml.token_type


def write_checkpoint(folder: Path, *, model: Path = DEFAULT_MODEL) -> Path:
    """Write weights, configuration, tokenizer and chat template of a Qwen2 in GGUF; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        _name(tensor.name): np.ascontiguousarray(
            dequantize(tensor.data, tensor.tensor_type), dtype=np.float32
        )
        for tensor in GGUFReader(model).tensors
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with open_checked(model) as (_, gguf):
        metadata = gguf.metadata
    _write(folder / "config.json", _config(metadata, tensors))
    _write(folder / "tokenizer.json", _tokenizer(metadata))
    end = metadata["tokenizer.ggml.tokens"][metadata["tokenizer.ggml.eos_token_id"]]  # type: ignore[index]
    _write(
        folder / "tokenizer_config.json",
        {
            "eos_token": end,
            "chat_template": metadata["tokenizer.chat_template"],
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    return folder


def _name(name: str) -> str:
    if name in _MODEL:
        return _MODEL[name]
    _, layer, part = name.split(".", 2)
    return f"model.layers.{layer}.{_LAYER[part]}"


def _config(metadata: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": metadata["qwen2.embedding_length"],
        "intermediate_size": metadata["qwen2.feed_forward_length"],
        "max_position_embeddings": metadata["qwen2.context_length"],
        "num_attention_heads": metadata["qwen2.attention.head_count"],
        "num_hidden_layers": metadata["qwen2.block_count"],
        "num_key_value_heads": metadata["qwen2.attention.head_count_kv"],
        "rms_norm_eps": metadata["qwen2.attention.layer_norm_rms_epsilon"],
        "rope_theta": metadata["qwen2.rope.freq_base"],
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "vocab_size": len(tensors["model.embed_tokens.weight"]),
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
    }


def _tokenizer(metadata: Mapping[str, Any]) -> dict[str, Any]:
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": i, "content": tokens[i]} | flags for i, kind in enumerate(types) if kind == _CONTROL]
    special = {token["id"] for token in added}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": level,
        "decoder": level,
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens) if i not in special},
            "merges": [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]],
            "byte_fallback": False,
            "ignore_merges": False,
        },
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    print(write_checkpoint(Path(sys.argv[1])))
