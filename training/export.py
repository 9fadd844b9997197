"""A trained model as a Hugging Face style checkpoint folder, which is what ``sage convert`` reads."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from prompts.dialects import template_text
from training.dialect import ASSISTANT, END, INVERSE, SPECIAL_TOKENS
from training.model import ModelConfig

NAME = "sage-pico"


def export(checkpoint: Path, tokenizer: Path, out: Path) -> None:
    """Write config, weights (float32), tokenizer and chat template into ``out``."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    known = {field.name for field in fields(ModelConfig)}
    config = ModelConfig(**{key: value for key, value in state["config"].items() if key in known})
    out.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value.contiguous() for name, value in state["model"].items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(tokenizer, out / "tokenizer.json")
    end_id = Tokenizer.from_file(str(tokenizer)).token_to_id(END)
    template = template_text(NAME)
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")
    _write(out / "config.json", _config(config, end_id))
    _write(out / "tokenizer_config.json", _tokenizer_config(config, template))
    _write(
        out / "generation_config.json", {"do_sample": False, "eos_token_id": end_id, "pad_token_id": end_id}
    )


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _config(config: ModelConfig, end_id: int) -> dict[str, Any]:
    return {
        "_name_or_path": NAME,
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": end_id,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": config.vocab_size,
    }


def _tokenizer_config(config: ModelConfig, template: str) -> dict[str, Any]:
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "additional_special_tokens": [t for t in SPECIAL_TOKENS if t in (ASSISTANT, INVERSE)],
        "bos_token": None,
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": config.max_position_embeddings,
        "pad_token": END,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
