"""What ties a head to the one model it was fitted on: fingerprint, dimensions, probe."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mch_runtime.errors import HeadError
from mch_runtime.gguf.reader import GgufFile, read_tensor
from mch_runtime.head.spec import Head, Probe

_VERSION = b"sage-base-fingerprint-1"


def fingerprint(fd: int, gguf: GgufFile) -> str:
    """SHA-256, in hex, of what quantization leaves alone in the base that ``fd`` holds.

    Hashed are the names and shapes of the tensors, the final norm's weights and the tokens; the exact
    bytes are in ``docs/head-format.md``. Raises ModelError if the final norm cannot be read.
    """
    digest = hashlib.sha256()
    for part in _parts(fd, gguf):
        digest.update(part)
    return digest.hexdigest()


def check_fits(head: Head, *, architecture: str, fingerprint: str, n_embd: int) -> None:
    """Raise HeadError, naming both sides, unless the head was fitted on this very base."""
    spec = head.spec
    ours = f"{architecture} with {n_embd} dimensions"
    theirs = f"{spec.base_architecture} with {spec.embedding_length} dimensions"
    if ours == theirs and spec.base_fingerprint == fingerprint:
        return
    if ours == theirs:
        ours, theirs = f"the base {fingerprint[:12]}", f"the base {spec.base_fingerprint[:12]}"
    raise HeadError(
        f"the head {spec.name!r} was fitted on {theirs}, and this model is {ours}",
        hint="use the head made for this model, or --force-head without calibrated confidence",
    )


def check_belongs(head: Head, gguf: GgufFile, *, fingerprint: str) -> None:
    """``check_fits`` against the header of the model whose fingerprint this is."""
    architecture = str(gguf.metadata.get("general.architecture"))
    n_embd = gguf.metadata.get(f"{architecture}.embedding_length")
    size = n_embd if isinstance(n_embd, int) else 0
    check_fits(head, architecture=architecture, fingerprint=fingerprint, n_embd=size)


def probe_cosine(probe: Probe, state: NDArray[np.float32]) -> float:
    """Cosine between the probe's hidden state and the one measured, both (d,); 0 if one of them is zero."""
    expected, measured = probe.state.astype(np.float64), np.asarray(state, dtype=np.float64)
    if expected.shape != measured.shape:
        raise HeadError(f"the head's probe has {expected.size} dimensions, the model {measured.size}")
    norms = float(np.linalg.norm(expected) * np.linalg.norm(measured))
    return float(expected @ measured) / norms if norms > 0 else 0.0


def _parts(fd: int, gguf: GgufFile) -> Iterator[bytes]:
    """Every part is preceded by its length, so that no two bases share their bytes."""
    yield _text(_VERSION)
    tensors = sorted((tensor.name.encode(), tensor.shape) for tensor in gguf.tensors)
    yield _count(len(tensors))
    for name, shape in tensors:
        yield _text(name) + _count(len(shape)) + b"".join(map(_count, shape))
    norm = read_tensor(fd, gguf, "output_norm.weight") if gguf.tensor("output_norm.weight") else None
    yield _text(b"" if norm is None else norm.astype("<f4").tobytes())
    tokens = gguf.metadata.get("tokenizer.ggml.tokens", ())
    texts = [str(token).encode() for token in tokens] if isinstance(tokens, tuple) else []
    yield _count(len(texts))
    yield b"".join(map(_text, texts))


def _count(number: int) -> bytes:
    return struct.pack("<Q", number)


def _text(data: bytes) -> bytes:
    return _count(len(data)) + data
