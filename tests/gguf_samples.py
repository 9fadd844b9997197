"""Tiny complete models with random weights, and a head that fits them, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, TokenType, quants

Tensors = dict[str, np.ndarray]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = {
    "<|endoftext|>": TokenType.CONTROL,
    "<|im_start|>": TokenType.CONTROL,
    "<|im_end|>": TokenType.CONTROL,
    "<think>": TokenType.USER_DEFINED,
}
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def write_model(
    path: Path,
    *,
    architecture: str = "qwen2",
    n_layer: int = 2,
    n_embd: int = 64,
    n_head: int = 4,
    n_head_kv: int = 2,
    ffn: int = 96,
    vocab: int = 320,
    tied: bool = True,
    tokenizer: str = "gpt2",
    context: int = 2048,
    seed: int = 0,
    weight_type: GGMLQuantizationType = GGMLQuantizationType.F32,
    weight_types: Mapping[str, GGMLQuantizationType] = MappingProxyType({}),
    edit_metadata: Callable[[GGUFWriter], object] = lambda writer: None,
    edit_tensors: Callable[[Tensors], object] = lambda tensors: None,
) -> Path:
    """Write a model that llama.cpp loads and decodes, and return ``path``.

    Architectures: qwen2, qwen3, llama, gemma, gemma2, gemma3, phi3, granite, smollm3; tokenizers: gpt2 and
    llama. vocab counts all tokens, 256 bytes among them. weight_type is that of all matrices but those that
    weight_types names; what gguf-py cannot quantize to is zero. The hooks run last, on the writer before
    anything is written and on the tensors by name, numpy shapes; what they set wins.
    """
    writer = GGUFWriter(path, architecture)
    _add_parameters(writer, architecture, n_layer, n_embd, n_head, n_head_kv, ffn, context)
    (_add_gpt2_vocabulary if tokenizer == "gpt2" else _add_llama_vocabulary)(writer, vocab)
    writer.add_chat_template(CHAT_TEMPLATE)
    tensors = make_tensors(
        architecture,
        n_layer=n_layer,
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=n_head_kv,
        ffn=ffn,
        vocab=vocab,
        tied=tied,
        seed=seed,
    )
    edit_metadata(writer)
    edit_tensors(tensors)
    for name, tensor in tensors.items():
        quantized = tensor.ndim > 1 and tensor.dtype == np.float32
        kind = weight_types.get(name, weight_type) if quantized else GGMLQuantizationType.F32
        if kind == GGMLQuantizationType.F32:
            writer.add_tensor(name, tensor)
        else:
            writer.add_tensor(name, _quantized(tensor, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_tensors(
    architecture: str,
    *,
    n_layer: int,
    n_embd: int,
    n_head: int,
    n_head_kv: int,
    ffn: int,
    vocab: int,
    tied: bool = True,
    seed: int = 0,
) -> Tensors:
    """Random tensors of a whole model, float32, in the file's order."""
    shapes = {"token_embd.weight": (vocab, n_embd), "output_norm.weight": (n_embd,)}
    if not tied:
        shapes["output.weight"] = (vocab, n_embd)
    head = n_embd // n_head
    for layer in range(n_layer):
        block = _block_shapes(architecture, n_embd, head * n_head_kv, head, ffn)
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    random = np.random.default_rng(seed)
    return {name: _random_tensor(random, name, shape) for name, shape in shapes.items()}


def _block_shapes(architecture: str, embd: int, kv: int, head: int, ffn: int) -> dict[str, tuple[int, ...]]:
    norm = (embd,)
    shapes: dict[str, tuple[int, ...]] = {"attn_norm.weight": norm}
    if architecture == "phi3":
        shapes |= {"attn_qkv.weight": (embd + 2 * kv, embd)}
    else:
        shapes |= {"attn_q.weight": (embd, embd), "attn_k.weight": (kv, embd), "attn_v.weight": (kv, embd)}
    if architecture == "qwen2":
        shapes |= {"attn_q.bias": (embd,), "attn_k.bias": (kv,), "attn_v.bias": (kv,)}
    if architecture in ("qwen3", "gemma3"):
        shapes |= {"attn_q_norm.weight": (head,), "attn_k_norm.weight": (head,)}
    if architecture in ("gemma2", "gemma3"):
        shapes |= {"post_attention_norm.weight": norm, "post_ffw_norm.weight": norm}
    if architecture != "phi3":
        shapes |= {"ffn_gate.weight": (ffn, embd)}
    up = (2 * ffn, embd) if architecture == "phi3" else (ffn, embd)
    shapes |= {"attn_output.weight": (embd, embd), "ffn_norm.weight": norm}
    return shapes | {"ffn_up.weight": up, "ffn_down.weight": (embd, ffn)}


def _quantized(tensor: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    try:
        return quants.quantize(tensor, kind)
    except NotImplementedError:
        block, block_bytes = GGML_QUANT_SIZES[kind]
        return np.zeros((*tensor.shape[:-1], tensor.shape[-1] // block * block_bytes), np.uint8)


def _random_tensor(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    values = random.normal(scale=0.1, size=shape)
    return (values + ("norm" in name)).astype(np.float32)


def _add_parameters(
    writer: GGUFWriter, architecture: str, layers: int, embd: int, heads: int, kv: int, ffn: int, context: int
) -> None:
    writer.add_name("sample")
    writer.add_type("model")
    writer.add_context_length(context)
    writer.add_embedding_length(embd)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    if architecture in ("gemma2", "gemma3"):
        writer.add_sliding_window(512)
    if architecture == "granite":
        writer.add_logit_scale(8.0)


def _add_gpt2_vocabulary(writer: GGUFWriter, vocab: int) -> None:
    merged = vocab - 256 - len(SPECIALS)
    if merged < 0:
        raise ValueError(f"vocab must be at least {256 + len(SPECIALS)}")
    pairs = [(a, b) for a in _LETTERS for b in _LETTERS][:merged]
    unreachable = [f"word{number}" for number in range(merged - len(pairs))]
    tokens = [*_byte_letters(), *(a + b for a, b in pairs), *unreachable, *SPECIALS]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (256 + merged) + list(SPECIALS.values()))
    # A file without merges is refused, so there is always one.
    writer.add_token_merges([f"{a} {b}" for a, b in pairs] or ["e t"])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)


def _add_llama_vocabulary(writer: GGUFWriter, vocab: int) -> None:
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = ["▁", *_LETTERS, *(a + b for a in _LETTERS for b in _LETTERS)]
    if vocab < len(first):
        raise ValueError(f"vocab must be at least {len(first)}")
    tokens = (first + letters)[:vocab]
    types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.BYTE] * 256
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types(types + [TokenType.NORMAL] * (len(tokens) - len(types)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte in GPT-2's vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(hidden)}
    return [letters[byte] for byte in range(256)]
