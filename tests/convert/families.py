"""Published models made small: their configurations shrunk in width and depth, with random weights.

Numbers of heads, ratios, flags and tokenizer rules are those of the repository named in each row; the
vocabulary is a small one trained on a few sentences. Needs torch, transformers and tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from convert.pre_tokenizers import DEEPSEEK3, LLAMA3, QWEN2, TEKKEN
from tests.convert.sentencepiece_bytes import model_bytes
from tests.hf_samples import CHAT_TEMPLATE, SENTENCES, trained_tokenizer

CONTEXT = 512
SPACE = "\u2581"


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def spell(*, use_regex: bool = False) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def steps(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


# llama.cpp's name -> the pre-tokenizer as publishers write it, whether merges are ignored, the normalizer.
BYTE_LEVEL: dict[str, tuple[dict[str, Any], bool, str | None]] = {
    "qwen2": (steps(split(QWEN2), spell()), False, "NFC"),
    "llama-bpe": (steps(split(LLAMA3), spell()), True, None),
    "smaug-bpe": (steps(split(LLAMA3), spell()), False, None),
    "tekken": (steps(split(TEKKEN), spell()), True, None),
    "deepseek-v3": (steps(*map(split, DEEPSEEK3), spell()), False, None),
    "smollm": (steps({"type": "Digits", "individual_digits": True}, spell(use_regex=True)), False, None),
    "gpt-2": (spell(use_regex=True), False, None),
}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A published model. specials: unknown or padding, begin, end; leads: whether begin is put first.

    text: llama.cpp's pre-tokenizer, "model" for a tokenizer.model, "json" for the same as tokenizer.json.
    """

    name: str
    repository: str
    config: type
    model: type
    text: str
    specials: tuple[str, ...]
    leads: bool
    settings: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)


SMALL = {"num_hidden_layers": 2, "max_position_embeddings": CONTEXT}
LLAMA_3_ROPE = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
FAMILIES = (
    Family(
        name="qwen2.5",
        repository="Qwen/Qwen2.5-0.5B-Instruct",
        config=Qwen2Config,
        model=Qwen2ForCausalLM,
        text="qwen2",
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        leads=False,
        settings=SMALL
        | {"hidden_size": 224, "intermediate_size": 1216, "num_attention_heads": 14, "num_key_value_heads": 2}
        | {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "tie_word_embeddings": True},
        generation={"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1},
    ),
    Family(
        name="qwen2.5-yarn",
        repository="Qwen/Qwen2.5-7B-Instruct, the long-text setting of its page",
        config=Qwen2Config,
        model=Qwen2ForCausalLM,
        text="qwen2",
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        leads=False,
        settings=SMALL
        | {"hidden_size": 224, "intermediate_size": 1184, "num_attention_heads": 14, "num_key_value_heads": 2}
        | {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "tie_word_embeddings": False}
        | {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
    ),
    Family(
        name="qwen3",
        repository="Qwen/Qwen3-0.6B",
        config=Qwen3Config,
        model=Qwen3ForCausalLM,
        text="qwen2",
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        leads=False,
        settings=SMALL
        | {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 16, "num_key_value_heads": 8}
        | {"head_dim": 16, "rope_theta": 1e6, "rms_norm_eps": 1e-6, "tie_word_embeddings": True},
        generation={"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    ),
    Family(
        name="llama-2",
        repository="meta-llama/Llama-2-7b-chat-hf",
        config=LlamaConfig,
        model=LlamaForCausalLM,
        text="model",
        specials=("<unk>", "<s>", "</s>"),
        leads=True,
        settings=SMALL
        | {"hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 32, "rms_norm_eps": 1e-5}
        | {"num_key_value_heads": 32, "rope_theta": 10_000.0, "tie_word_embeddings": False},
        generation={"temperature": 0.6, "top_p": 0.9},
    ),
    Family(
        name="llama-3.2",
        repository="meta-llama/Llama-3.2-1B-Instruct",
        config=LlamaConfig,
        model=LlamaForCausalLM,
        text="llama-bpe",
        specials=("<|finetune_right_pad_id|>", "<|begin_of_text|>", "<|eot_id|>"),
        leads=True,
        settings=SMALL
        | {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 32, "head_dim": 16}
        | {"num_key_value_heads": 8, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5}
        | {"rope_scaling": LLAMA_3_ROPE | {"original_max_position_embeddings": 32}}
        | {"tie_word_embeddings": True},
        generation={"temperature": 0.6, "top_p": 0.9},
    ),
    Family(
        name="mistral-nemo",
        repository="mistralai/Mistral-Nemo-Instruct-2407",
        config=MistralConfig,
        model=MistralForCausalLM,
        text="tekken",
        specials=("<unk>", "<s>", "</s>"),
        leads=True,
        settings=SMALL
        | {"hidden_size": 320, "intermediate_size": 896, "num_attention_heads": 32, "head_dim": 8}
        | {"num_key_value_heads": 8, "rope_theta": 1e6, "rms_norm_eps": 1e-5, "sliding_window": None}
        | {"tie_word_embeddings": False},
    ),
    Family(
        name="mistral-7b",
        repository="mistralai/Mistral-7B-v0.1",
        config=MistralConfig,
        model=MistralForCausalLM,
        text="json",
        specials=("<unk>", "<s>", "</s>"),
        leads=True,
        settings=SMALL
        | {"hidden_size": 256, "intermediate_size": 896, "num_attention_heads": 32, "rms_norm_eps": 1e-5}
        | {"num_key_value_heads": 8, "rope_theta": 10_000.0, "sliding_window": 300}
        | {"tie_word_embeddings": False},
    ),
    Family(
        name="smollm2",
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        config=LlamaConfig,
        model=LlamaForCausalLM,
        text="smollm",
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        leads=False,
        settings=SMALL
        | {"hidden_size": 144, "intermediate_size": 384, "num_attention_heads": 9, "num_key_value_heads": 3}
        | {"rope_theta": 100_000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": True},
    ),
    Family(
        name="granite-code",
        repository="ibm-granite/granite-3b-code-instruct: biases",
        config=LlamaConfig,
        model=LlamaForCausalLM,
        text="smollm",
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        leads=False,
        settings=SMALL
        | {"hidden_size": 320, "intermediate_size": 1280, "num_attention_heads": 32, "rms_norm_eps": 1e-5}
        | {"num_key_value_heads": 32, "rope_theta": 10_000.0, "tie_word_embeddings": True}
        | {"attention_bias": True, "mlp_bias": True},
    ),
    Family(
        name="deepseek-coder-linear",
        repository="deepseek-ai/deepseek-coder-6.7b-instruct: linear positions",
        config=LlamaConfig,
        model=LlamaForCausalLM,
        text="gpt-2",
        specials=("<pad>", "<s>", "</s>"),
        leads=True,
        settings=SMALL
        | {"hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 32, "rms_norm_eps": 1e-6}
        | {"num_key_value_heads": 32, "rope_theta": 100_000.0, "tie_word_embeddings": False}
        | {"rope_scaling": {"type": "linear", "factor": 4.0}},
    ),
)


def save(family: Family, folder: Path, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """A whole checkpoint folder of the family, the configuration in the form of before transformers 5."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = save_tokenizer(family, folder)
    torch.manual_seed(seed)
    rope = {key: family.settings.get(key) for key in ("rope_theta", "rope_scaling")}
    settings = {key: value for key, value in family.settings.items() if key not in rope}
    parameters = {"rope_theta": rope["rope_theta"], **(rope["rope_scaling"] or {})}
    parameters["rope_type"] = parameters.pop("type", parameters.get("rope_type", "default"))
    config = family.config(
        **settings,
        vocab_size=max(ids.values()) + 20,
        rope_parameters=parameters,
        bos_token_id=ids[family.specials[1]],
        eos_token_id=ids[family.specials[2]],
    )
    model = randomize(family.model(config), dtype)
    for key, value in family.generation.items():
        setattr(model.generation_config, key, value)
    model.generation_config.do_sample = bool(family.generation)
    model.save_pretrained(folder)
    path = folder / "config.json"
    written = json.loads(path.read_text())
    written.pop("rope_parameters", None)
    written.pop("layer_types", None)
    written |= {key: value for key, value in rope.items() if value is not None}
    path.write_text(json.dumps(written, indent=2))
    return folder


def randomize(model: Any, dtype: torch.dtype) -> Any:
    """Random weights large enough for logits of some size, with biases and uneven norms."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.5)
            else:
                parameter.normal_(std=1.5 * parameter.shape[1] ** -0.5)
    return model.eval().to(dtype)


def save_tokenizer(family: Family, folder: Path) -> dict[str, int]:
    """Write the tokenizer's files; ids by text of all tokens."""
    tokenizer = (
        sentencepiece_json(leads=family.leads)
        if family.text in ("model", "json")
        else byte_level_json(family.text, family.specials, leads=family.leads)
    )
    if family.text == "model":
        (folder / "tokenizer.model").write_bytes(sentencepiece_model())
    text = json.dumps(tokenizer, ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    pad, bos, eos = family.specials
    settings: dict[str, Any] = {
        "bos_token": bos,
        "eos_token": eos,
        "unk_token" if pad == "<unk>" else "pad_token": pad,
        "chat_template": CHAT_TEMPLATE,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    if family.text == "model":
        settings["added_tokens_decoder"] = {str(t["id"]): t for t in tokenizer["added_tokens"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    ids = dict(tokenizer["model"]["vocab"])
    return ids | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}


def byte_level_json(name: str, specials: tuple[str, ...], *, leads: bool) -> dict[str, Any]:
    """tokenizer.json of byte-level BPE under the rules called ``name``."""
    tokenizer = json.loads(trained_tokenizer())
    splitter, ignore_merges, normalizer = BYTE_LEVEL[name]
    tokenizer["pre_tokenizer"] = splitter
    tokenizer["normalizer"] = {"type": normalizer} if normalizer else None
    tokenizer["model"]["ignore_merges"] = ignore_merges
    for token, text in zip(tokenizer["added_tokens"], specials, strict=False):
        token["content"] = text
    tokenizer["post_processor"] = post_processor(specials[1], tokenizer, leads=leads)
    return tokenizer


def post_processor(bos: str, tokenizer: dict[str, Any], *, leads: bool) -> dict[str, Any] | None:
    if not leads:
        return None
    ids = dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    first, text = {"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, first, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [ids[bos]], "tokens": [bos]}},
    }


@cache
def pieces() -> tuple[tuple[str, float, int], ...]:
    """A SentencePiece BPE model: (text, score, kind) by id: three special ones, bytes, merged, characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=700, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merged = dict.fromkeys("".join(pair) for pair in model["merges"])
    single = sorted(text for text in model["vocab"] if text not in merged)
    found = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    found += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    return (*found, *((text, -float(k), 1) for k, text in enumerate([*merged, *single])))


def sentencepiece_model(**changes: dict[int, int | bytes]) -> bytes:
    """``pieces`` as a tokenizer.model; changes: fields of "trainer" and "normalizer" by number."""
    return model_bytes(pieces(), **changes)


def sentencepiece_json(*, leads: bool, metaspace: str | None = None) -> dict[str, Any]:
    """The same as tokenizer.json, as transformers has converted Llama 2's; metaspace: the newer form."""
    vocab = {text: token_id for token_id, (text, _, _) in enumerate(pieces())}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": k, "content": text, "single_word": False, "lstrip": False, "rstrip": False}
            | {"normalized": False, "special": True}
            for k, (text, _, _) in enumerate(pieces()[:3])
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None}
        | {"end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False}
        | {"vocab": vocab, "merges": list(_every_merge(vocab))},
    }
    if metaspace:
        tokenizer["normalizer"] = None
        tokenizer["pre_tokenizer"] = {"type": "Metaspace", "replacement": SPACE}
        tokenizer["pre_tokenizer"] |= {"prepend_scheme": metaspace, "split": False}
    tokenizer["post_processor"] = post_processor("<s>", tokenizer, leads=leads)
    return tokenizer


def _every_merge(vocab: dict[str, int]) -> Iterator[list[str]]:
    for text, _, kind in pieces():
        for cut in range(1, len(text)) if kind == 1 else ():
            if text[:cut] in vocab and text[cut:] in vocab:
                yield [text[:cut], text[cut:]]
