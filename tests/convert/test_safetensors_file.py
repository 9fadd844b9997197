"""Damaged safetensors: the reader agrees with the library or refuses, and never fails otherwise."""

from __future__ import annotations

import os
import tempfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from convert.safetensors_file import as_float32, as_stored, read_header
from mch_runtime.errors import DataError

GOOD = save(
    {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(4, dtype=np.float16),
        "empty": np.zeros((0, 3), dtype=np.float32),
    }
)


def read(raw: bytes) -> dict[str, np.ndarray]:
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        tensors = read_header(file.fileno(), "x.safetensors")
        return {
            t.name: as_float32(
                as_stored(bytearray(os.pread(file.fileno(), t.nbytes, t.offset)), t.dtype)
            ).reshape(t.shape)
            for t in tensors
        }


def test_values_equal_the_librarys() -> None:
    ours, theirs = read(GOOD), load(GOOD)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert np.array_equal(ours[name], value.astype(np.float32))


@given(st.floats(width=32, allow_nan=False))
def test_bf16_is_the_upper_half_of_a_float32(value: float) -> None:
    bits = np.array([value], dtype=np.float32).view(np.uint32) >> 16
    expected = (bits << 16).view(np.float32)
    found = as_float32(as_stored(bytearray(bits.astype("<u2").tobytes()), "BF16"))
    assert np.array_equal(found, expected)


@settings(max_examples=300)
@given(st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    raw = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(raw), len(raw), len(raw) - 1, 8, 5, 0]))
    try:
        found = read(bytes(raw[:cut]))
    except DataError:
        return
    for name, value in load(bytes(raw[:cut])).items():
        assert np.array_equal(found[name], value.astype(np.float32), equal_nan=True)
