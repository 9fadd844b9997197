"""The reader written from the page reads sage-pico's head, and comes to what the page says and sage computes."""

from __future__ import annotations

import ast
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.gguf_file import open_checked, read_tensor
from mch_runtime.head.confidence import calibrate, channel_confidences, step_features
from mch_runtime.head.format import decode_head
from mch_runtime.head.network import step_logits
from mch_runtime.statistics import FeatureTrack, TokenStatistics
from sage_cli.assets import DEFAULT_MODEL
from tests.independent import head_reader
from tests.independent.head_reader import Head, features, fingerprint, head_behind

PAGE = Path(__file__).parents[2] / "docs" / "head-format.md"
POSITIONS, ENDS = 24, (7, 8, 23)
AGAIN = "the head of sage-pico is another one: print the table anew with python -m tests.independent.vector"


@pytest.fixture(scope="module")
def head() -> Head:
    return Head(head_behind(DEFAULT_MODEL))


def states(d: int) -> np.ndarray:
    i, j = np.arange(POSITIONS)[:, None], np.arange(d)
    return np.sin(i + 1 + j * j / 10).astype(np.float32)


def tokens() -> list[tuple[float, float, float]]:
    return [(-float((i % 5) ** 2), (i % 7) / 10, 20.0 * (2 - i % 4)) for i in range(1, POSITIONS)]


def vector(head: Head) -> list[tuple[float, ...]]:
    """Rows of the page's table: position, raw and calibrated channels, ``fast``."""
    rows = features(head.meta["mch.statistics"], tokens(), ENDS)
    raw, calibrated = head.run(states(head.meta["mch.embedding_length"]), rows, ENDS)
    return [
        (end, *map(float, one), *map(float, other), head.fast(one, rows[end]))
        for end, one, other in zip(ENDS, raw, calibrated, strict=True)
    ]


def test_it_knows_nothing_of_sage() -> None:
    tree = ast.parse(Path(head_reader.__file__).read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= {*sys.stdlib_module_names, "numpy"}


def test_the_vector_of_the_page(head: Head) -> None:
    lines = PAGE.read_text(encoding="utf-8").partition("## A test vector")[2].splitlines()
    table = [line for line in lines if line.startswith("| ") and line[2].isdigit()]
    stored = [[float(cell) for cell in line.strip("| ").split("|")] for line in table]
    assert len(stored) == len(ENDS)
    assert np.allclose(stored, vector(head), atol=2e-4), AGAIN


def test_it_agrees_with_sage(head: Head) -> None:
    own = decode_head(head_behind(DEFAULT_MODEL))
    spec = own.spec
    track, rows = FeatureTrack(spec.statistics), []
    rows.append(track.push(None))
    for place, one in enumerate(tokens(), start=1):
        rows.append(track.push(TokenStatistics(*one)))
        if place in ENDS:
            track.end_step()
    assert np.allclose(rows, features(spec.statistics, tokens(), ENDS), atol=1e-5)
    logits = step_logits(own, states(spec.embedding_length), rows, ENDS)
    for line, row, end in zip(vector(head), logits, ENDS, strict=True):
        assert np.allclose(line[1:4], row, atol=1e-4)
        told = step_features(spec, row, rows[end])
        channels = channel_confidences(spec, told, ended=end == ENDS[-1])
        assert np.allclose(line[4:7], list(channels.values()), atol=1e-4)
        assert math.isclose(line[7], calibrate(spec.calibration["fast"], told), abs_tol=1e-4)


def test_the_fingerprint_is_the_bases(head: Head) -> None:
    with open_checked(DEFAULT_MODEL) as (fd, gguf):
        norm = read_tensor(fd, gguf, "output_norm.weight")
    assert fingerprint(DEFAULT_MODEL.read_bytes(), norm) == head.meta["mch.base.fingerprint"]
