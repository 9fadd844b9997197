"""What is concluded from the processor's description."""

from __future__ import annotations

from pathlib import Path

import pytest

from mch_runtime.llama.machine import halves_are_slow


@pytest.mark.parametrize(
    ("flags", "head_size", "slow"),
    [
        ("avx512f avx512_bf16 avx512_fp16", 64, True),
        ("avx512f avx512_bf16 avx512_fp16", 128, False),
        ("avx512f avx512_bf16", 64, False),
        ("", 64, False),
    ],
)
def test_halves_are_slow_in_pieces_that_do_not_fill_a_vector(
    tmp_path: Path, flags: str, head_size: int, *, slow: bool
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags\t\t: fpu {flags}\n")
    assert halves_are_slow(head_size, cpuinfo) is slow


def test_an_unknown_machine_is_not_slow(tmp_path: Path) -> None:
    assert not halves_are_slow(64, tmp_path / "missing")
