"""Control vectors for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

from mch_runtime.steering import ControlVector, write


def write_vector(path: Path, *, layers: tuple[int, ...] = (1,), width: int = 64, size: float = 0.1) -> Path:
    """A random one for a model of :func:`tests.gguf_samples.write_model`."""
    random = np.random.default_rng(0)
    directions = {layer: (size * random.normal(size=width)).astype(np.float32) for layer in layers}
    write(ControlVector(directions=directions, made_for="qwen2"), path, notes={})
    return path


def write_raw(path: Path, tensors: Mapping[str, np.ndarray], *, architecture: str = "controlvector") -> Path:
    """Anything in the form of a control vector."""
    writer = GGUFWriter(path, architecture)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
