"""The guard: what a model file must be before llama.cpp may see it.

llama.cpp aborts or crashes on hyper-parameters, vocabularies and tensor types that do not fit each
other; here they are refused first. ``check_model`` returns, or raises a ``ModelError`` whose ``rule``
says which check refused.
"""

from __future__ import annotations

from collections import Counter
from typing import NoReturn

from mch_runtime.errors import ModelError
from mch_runtime.gguf.architectures import (
    ARCHITECTURES,
    FUSED_BIAS,
    FUSED_QKV,
    MODEL,
    SEPARATE_BIAS,
    SEPARATE_QKV,
    Architecture,
    Shape,
)
from mch_runtime.gguf.hyperparameters import HyperParameters, read_hyperparameters
from mch_runtime.gguf.reader import GgufFile, TensorInfo, Value
from mch_runtime.gguf.types import WEIGHTS

MAX_TOKEN_BYTES = 4096
MAX_TEMPLATE_BYTES = 256 << 10
_TOKENIZERS = ("gpt2", "llama")
_BYTE_TYPE = 6
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def check_model(gguf: GgufFile, size: int) -> None:
    """Refuse a model that llama.cpp may not survive; ``size`` is the file's in bytes. Raises ModelError."""
    _check_kind(gguf)
    name = gguf.metadata.get("general.architecture")
    architecture = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if architecture is None or not isinstance(name, str):
        _refuse_architecture(name)
    if gguf.end > size:
        missing = gguf.end - size
        _refuse("truncated", f"the file is cut off: {missing} bytes are missing", hint="download it again")
    parameters = read_hyperparameters(gguf, name, partial_rotary=architecture.partial_rotary)
    vocab = _check_vocabulary(gguf)
    _check_templates(gguf)
    _check_tensors(gguf, architecture, parameters, vocab=vocab)


def _refuse(rule: str, message: str, *, hint: str = "") -> NoReturn:
    raise ModelError(message, rule=rule, hint=hint)


def _refuse_architecture(name: Value | None) -> NoReturn:
    if name == "mch":
        hint = "this is a head, not a model: give it with --head"
        _refuse("architecture", "the file holds a meta-cognitive head", hint=hint)
    known = ", ".join(ARCHITECTURES)
    _refuse("architecture", f"the architecture {name!r} is not supported", hint=f"supported are {known}")


def _check_kind(gguf: GgufFile) -> None:
    """One whole language model: no part of a split one, no adapter, no projector."""
    if gguf.metadata.get("split.count", 1) not in (0, 1):
        hint = "merge the parts with: llama-gguf-split --merge FIRST-PART OUTPUT"
        _refuse("split-file", "the model is split into several files", hint=hint)
    kind = gguf.metadata.get("general.type", "model")
    if kind != "model" and gguf.metadata.get("general.architecture") != "mch":
        _refuse("not-a-model", f"the file holds a thing of type {kind!r}, not a model")


def _check_vocabulary(gguf: GgufFile) -> int:
    """The number of tokens."""
    model = gguf.metadata.get("tokenizer.ggml.model")
    if model not in _TOKENIZERS:
        known = " and ".join(_TOKENIZERS)
        _refuse("tokenizer", f"the tokenizer {model!r} is not supported", hint=f"supported are {known}")
    tokens = _strings(gguf, "tokenizer.ggml.tokens")
    _check_tokens(tokens)
    types = _numbers(gguf, "tokenizer.ggml.token_type", ("[int32]",), len(tokens))
    _numbers(gguf, "tokenizer.ggml.scores", ("[float32]", "[int32]"), len(tokens))
    for token, kind in zip(tokens, types, strict=False):
        if kind == _BYTE_TYPE and token not in _BYTES:
            _refuse("byte-token", f"the token {token!r} is marked as a byte and is not one")
    if model == "llama":
        missing = _BYTES.difference(tokens)
        if missing:
            _refuse("byte-token", f"the vocabulary lacks {len(missing)} byte tokens, such as {min(missing)}")
    else:
        _strings(gguf, "tokenizer.ggml.merges")
    return len(tokens)


def _check_tokens(tokens: tuple[str, ...]) -> None:
    if len(set(tokens)) != len(tokens):
        twice = next(token for token, count in Counter(tokens).items() if count > 1)
        _refuse("duplicate-token", f"the token {twice!r} is in the vocabulary twice")
    if "" in tokens:
        _refuse("empty-token", f"the token {tokens.index('')} is empty")
    if "\0" in "".join(tokens):
        _refuse("nul-token", "a token contains a NUL")
    if max(len(token.encode()) for token in tokens) > MAX_TOKEN_BYTES:
        _refuse("token-length", f"a token has more than {MAX_TOKEN_BYTES} bytes")


def _strings(gguf: GgufFile, key: str) -> tuple[str, ...]:
    values = gguf.metadata.get(key)
    if gguf.types.get(key) != "[string]" or not isinstance(values, tuple) or not values:
        _refuse(key.rpartition(".")[2], f"the vocabulary has no {key}, or not as a list of strings")
    return tuple(str(value) for value in values)


def _numbers(gguf: GgufFile, key: str, kinds: tuple[str, ...], count: int) -> tuple[Value, ...]:
    """An optional array with a number for every token."""
    values = gguf.metadata.get(key)
    if values is None:
        return ()
    rule = key.rpartition(".")[2].replace("_", "-")
    if gguf.types.get(key) not in kinds or not isinstance(values, tuple):
        _refuse(rule, f"{key} has the type {gguf.types.get(key)}, not {' or '.join(kinds)}")
    if len(values) < count:
        _refuse(rule, f"{key} has {len(values)} values for {count} tokens")
    return values


def _check_templates(gguf: GgufFile) -> None:
    for key, value in gguf.metadata.items():
        if not key.startswith("tokenizer.chat_template"):
            continue
        texts = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(text, str) for text in texts):
            _refuse("chat-template", f"{key} is not text")
        if any(len(str(text).encode()) > MAX_TEMPLATE_BYTES for text in texts):
            _refuse("chat-template", f"{key} is larger than {MAX_TEMPLATE_BYTES >> 10} KiB")


def _check_tensors(
    gguf: GgufFile, architecture: Architecture, parameters: HyperParameters, *, vocab: int
) -> None:
    tensors = {tensor.name: tensor for tensor in gguf.tensors}
    required: dict[str, Shape] = dict(MODEL)
    optional: dict[str, Shape] = dict(architecture.model_optional)
    for layer in range(parameters.layers):
        prefix = f"blk.{layer}."
        fused = f"{prefix}attn_qkv.weight" in tensors
        qkv = FUSED_QKV if fused else SEPARATE_QKV
        required.update({prefix + name: shape for name, shape in {**architecture.block, **qkv}.items()})
        # Fused weights may come with separate biases.
        extra = {**architecture.block_optional, **SEPARATE_BIAS, **(FUSED_BIAS if fused else {})}
        optional.update({prefix + name: shape for name, shape in extra.items()})
    missing = [name for name in required if name not in tensors]
    if missing:
        _refuse("missing-tensor", f"the tensor {missing[0]} is missing, {len(missing)} in all")
    dimensions = parameters.dimensions(vocab=vocab)
    for tensor in gguf.tensors:
        shape = required.get(tensor.name) or optional.get(tensor.name)
        if shape is None:
            _refuse("unknown-tensor", f"the tensor {tensor.name!r} does not belong to this architecture")
        _check_tensor(tensor, tuple(dimensions[name] for name in shape))


def _check_tensor(tensor: TensorInfo, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        _refuse("tensor-shape", f"the tensor {tensor.name} has the shape {tensor.shape}, not {shape}")
    if len(shape) == 1 and tensor.type != "F32":
        _refuse("tensor-type", f"the tensor {tensor.name} is {tensor.type}; one-dimensional ones must be F32")
    if tensor.type not in WEIGHTS:
        _refuse("tensor-type", f"the tensor {tensor.name} is {tensor.type}, which llama.cpp cannot use")
