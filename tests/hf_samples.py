"""Small checkpoints with random weights, in the forms that Qwen2.5's publishers and transformers write.

Needs torch, transformers and tokenizers; tests import this module after ``pytest.importorskip``.
"""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

Form = Literal["qwen2.5", "transformers"]

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<tool_call>", "</tool_call>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SENTENCES = (
    "Tom had 12 apples. He gave 3 to Anna, who's got 45 pears already; that's 48.5% of them all!",
    "The quick brown fox jumps over the lazy dog, and they'll do it again — won't they?",
    "def area(width: int, height: int) -> int:\n    return width * height  # square metres\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] / 2.0f;\r\n}\n\n\n",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。いろはにほへと ちりぬるを",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ŒUVRE naïve café",
    "نص حكيم له سر قاطع وذو شأن عظيم 🙂🚀👩‍🔬 ½ ² ﷽ हिन्दी ไทย",
    '{"name": "sage", "values": [1, 2.50, null], "path": "C:\\\\temp\\\\x"}   \t  \n',
)


@cache
def trained_tokenizer() -> str:
    """tokenizer.json, as text, of a byte-level BPE of 600 tokens and the special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.post_processor = processors.ByteLevel(
        add_prefix_space=False, trim_offsets=False, use_regex=False
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, min_frequency=1, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in USER_DEFINED])
    return tokenizer.to_str()


def config(*, tied: bool = True, spare_ids: int = 27, **changes: Any) -> Qwen2Config:
    """Qwen2.5's configuration, shrunk; widths are multiples of 256. spare_ids have no token."""
    ids = {token["content"]: token["id"] for token in json.loads(trained_tokenizer())["added_tokens"]}
    values: dict[str, Any] = {
        "vocab_size": max(ids.values()) + 1 + spare_ids,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_theta": 1_000_000.0,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": tied,
        "use_sliding_window": False,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
    }
    return Qwen2Config(**(values | changes))


def random_model(
    settings: Qwen2Config, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Qwen2ForCausalLM:
    """Random weights large enough for logits of some size, with biases and uneven norms."""
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(settings).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(std=0.5)
            else:
                parameter.normal_(std=1.5 * parameter.shape[1] ** -0.5)
    return model.to(dtype)


def save(folder: Path, model: Qwen2ForCausalLM, *, shard_size: str = "1GB", form: Form = "qwen2.5") -> Path:
    """Write a whole checkpoint folder: weights, configuration, tokenizer, template."""
    ids = {token["content"]: token["id"] for token in json.loads(trained_tokenizer())["added_tokens"]}
    model.generation_config.eos_token_id = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.save_pretrained(folder, max_shard_size=shard_size)
    if form == "qwen2.5":
        _save_published_form(folder)
    else:
        _save_transformers_form(folder)
    return folder


def _save_published_form(folder: Path) -> None:
    """As Qwen2.5's repositories have it: merges as strings, the template among the settings."""
    tokenizer = json.loads(trained_tokenizer())
    tokenizer["model"]["merges"] = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    settings = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    settings = json.loads((folder / "config.json").read_text())
    rope = settings.pop("rope_parameters")
    settings |= {"rope_theta": rope["rope_theta"], "torch_dtype": settings.pop("dtype")}
    del settings["layer_types"]
    (folder / "config.json").write_text(json.dumps(settings, indent=2))


def _save_transformers_form(folder: Path) -> None:
    """As transformers 5 saves it again: merges as pairs, the template a file, no post-processing."""
    settings = (folder / "config.json").read_text()
    _save_published_form(folder)
    (folder / "config.json").write_text(settings)
    load_tokenizer(folder).save_pretrained(folder)


def load_tokenizer(folder: Path) -> Any:
    """The checkpoint's tokenizer, by transformers."""
    return AutoTokenizer.from_pretrained(folder)


def varied_texts(count: int, *, seed: int = 0) -> list[str]:
    """Texts of words, code, digits, whitespace, symbols of many scripts and special tokens, a third of them not in NFC."""
    rng = Random(seed)
    pieces = [piece for sentence in SENTENCES for piece in (sentence, *sentence.split(" "))]
    blanks = (" ", "  ", "\n", "\n\n", "\r\n", "\t", "   \n  ", "\u00a0", "\u3000", "\u2028", " \u200b")
    ranges = ((0x20, 0x7E), (0xA1, 0x24F), (0x370, 0x5FF), (0x900, 0xDFF), (0x2000, 0x2BFF))
    ranges += ((0x3041, 0x30FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x1F300, 0x1F64F), (0x20000, 0x2A000))
    contractions = ("'s", "'T", "'re", "'VE", "'m", "'ll", "'d", "it's'", "''s")

    def piece() -> str:
        kind = rng.randrange(8)
        if kind < 2:
            return rng.choice(pieces)
        if kind == 2:
            return "".join(rng.choice(blanks) for _ in range(rng.randint(1, 4)))
        if kind == 3:
            return str(rng.randrange(10 ** rng.randint(1, 12)))
        if kind == 4:
            return rng.choice(contractions)
        if kind == 5:
            return rng.choice(CONTROL + USER_DEFINED)
        low, high = rng.choice(ranges)
        return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 6)))

    texts = ["".join(piece() for _ in range(rng.randint(1, 12))) for _ in range(count)]
    forms = ("NFC", "NFD", "")
    return [
        unicodedata.normalize(form, text) if (form := forms[k % 3]) else text for k, text in enumerate(texts)
    ]
