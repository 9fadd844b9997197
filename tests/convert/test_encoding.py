"""Blocks of values in a GGUF's types, beside what the gguf package makes of them."""

from __future__ import annotations

import warnings
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as GgmlType
from numpy.typing import NDArray

from convert.encoding import encode
from convert.safetensors_file import as_float32


def bfloat16(values: NDArray[Any]) -> NDArray[np.uint16]:
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2")


def awkward() -> NDArray[np.float32]:
    """(24, 64) values: ties, neighbours of ties, zeros, blocks of one size and of many, the very small and large."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(24, 64)).astype(np.float32)
    steps = np.arange(32, dtype=np.float32) + np.float32(0.5)
    for row, towards in enumerate((None, 0.0, 1e9, -1e9)):
        ties = steps if towards is None else np.nextafter(steps, np.float32(towards))
        rows[row] = np.concatenate([ties, -ties])
        rows[row, [0, 32]] = 127.0, -127.0  # the unit of the block is 1
    rows[4] = 0.0
    rows[5, :32] = -0.0
    rows[6] *= 1e-30
    rows[7] = 1e-40  # the reciprocal of its unit is infinite
    rows[8] *= 1e6
    rows[9:] *= 10.0 ** rng.integers(-6, 6, size=(15, 1))
    return rows


@pytest.mark.parametrize("stored", ["F32", "F16", "BF16"])
def test_q8_0_is_what_the_gguf_package_makes(stored: str) -> None:
    values: NDArray[Any] = awkward()
    if stored == "F16":
        values = np.clip(values, -60000, 60000).astype("<f2")
    if stored == "BF16":
        values = bfloat16(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = encode(values, GgmlType.Q8_0, name="t")
    with np.errstate(all="ignore"):
        theirs = gguf.quants.quantize(as_float32(values), GgmlType.Q8_0)
    np.testing.assert_array_equal(ours, theirs)


def test_ties_of_q8_0_go_away_from_zero() -> None:
    values = np.zeros((1, 32), np.float32)
    values[0, :6] = 127.0, 0.5, -0.5, 2.5, -2.5, np.nextafter(np.float32(0.5), np.float32(0))
    coded = encode(values, GgmlType.Q8_0, name="t")[0, 2:8].view(np.int8)
    assert coded.tolist() == [127, 1, -1, 3, -3, 0]
