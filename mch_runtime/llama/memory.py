"""What a context needs and what the machine has: llama.cpp would be killed, not told."""

from __future__ import annotations

from pathlib import Path

from mch_runtime.errors import ResourceError
from mch_runtime.gguf_file import GgufFile

OVERHEAD = 64 << 20


def kv_bytes(gguf: GgufFile, *, n_ctx: int, element_bytes: int) -> int:
    """Bytes of the key-value cache of ``n_ctx`` tokens."""
    kv_heads = _number(gguf, "attention.head_count_kv", _number(gguf, "attention.head_count"))
    size = head_size(gguf)
    value_size = _number(gguf, "attention.value_length", size)
    return n_ctx * _number(gguf, "block_count") * kv_heads * (size + value_size) * element_bytes


def head_size(gguf: GgufFile) -> int:
    """Numbers in the key of one attention head."""
    heads = _number(gguf, "attention.head_count")
    return _number(gguf, "attention.key_length", _number(gguf, "embedding_length") // max(heads, 1))


def _number(gguf: GgufFile, name: str, default: int = 0) -> int:
    """A hyper-parameter, the largest where layers differ."""
    value = gguf.metadata.get(f"{gguf.metadata['general.architecture']}.{name}", default)
    per_layer = value if isinstance(value, tuple) else (value,)
    return max(int(item) for item in per_layer)


def require(needed: int, *, what: str) -> None:
    """Raise ResourceError if ``needed`` bytes are clearly not to be had."""
    free = available_bytes()
    if free is not None and needed + OVERHEAD > free:
        raise ResourceError(
            f"{what} needs {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free",
            hint="try a smaller --ctx-size or a smaller quantization",
        )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Free memory: the kernel's estimate, bounded by the control group's limit; None if unknown."""
    bounds = [bound for bound in (_meminfo(root), _cgroup(root)) if bound is not None]
    return min(bounds, default=None)


def _meminfo(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _cgroup(root: Path) -> int | None:
    try:
        limit = (root / "sys/fs/cgroup/memory.max").read_text().strip()
        used = (root / "sys/fs/cgroup/memory.current").read_text().strip()
    except OSError:
        return None
    return None if limit == "max" else int(limit) - int(used)
