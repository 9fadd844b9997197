"""What the processor is good at, as far as llama.cpp's speed depends on it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

HALF_LANES = 128  # half-precision numbers that ggml takes at a time where the processor computes with them


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def halves_are_slow(head_size: int, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether flash attention over a cache in half precision goes number by number.

    Built for AVX512-FP16, this release of ggml takes half-precision numbers 128 at a time and the rest one by one, which
    for heads of 64 is all of them. Brain floats have no such gap, and what has the one instruction set has theirs.
    """
    return head_size % HALF_LANES != 0 and {"avx512_fp16", "avx512_bf16"} <= _flags(cpuinfo)


@cache
def _flags(cpuinfo: Path) -> frozenset[str]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    flags = (line.split(":", 1)[1] for line in lines if line.startswith("flags"))
    return frozenset(next(flags, "").split())
