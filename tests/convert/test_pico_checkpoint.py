"""The folder that docs/own-model.md begins with: sage-pico as a checkpoint comes back as the model that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader

from convert.to_gguf import convert
from mch_runtime.gguf_file import open_checked
from sage_cli.assets import DEFAULT_MODEL
from tests.pico_checkpoint import write_checkpoint

DIFFERENT = {"general.name", "sage.tokenizer.normalizer", "tokenizer.ggml.padding_token_id"}


def test_it_comes_back(tmp_path: Path) -> None:
    made = tmp_path / "pico.gguf"
    convert(write_checkpoint(tmp_path / "pico"), made, outtype="q8_0")
    with open_checked(made) as (_, again), open_checked(DEFAULT_MODEL) as (_, shipped):
        keys = {*again.metadata, *shipped.metadata}
        differ = {key for key in keys if again.metadata.get(key) != shipped.metadata.get(key)}
    assert differ <= DIFFERENT
    before, after = GGUFReader(DEFAULT_MODEL).tensors, GGUFReader(made).tensors
    assert [one.name for one in after] == [one.name for one in before]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.data, other.data), one.name
