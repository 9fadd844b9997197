"""The preference stage moves probability from wrong solutions to right ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from tests.training.tiny import TINY
from training.corpus import Corpus
from training.model import ModelConfig, Qwen2
from training.preference import PreferenceConfig, _log_probs, _plan, prefer

CONFIG = PreferenceConfig(lr=3e-3, pairs_per_step=8, epochs=6)


@pytest.fixture
def pairs() -> Corpus:
    """One prompt of six tokens; right solutions end in the token 1, wrong ones in the token 2."""
    rng = np.random.default_rng(0)
    rows = [[*rng.integers(3, 40, 6), *rng.integers(3, 40, 4), last] for _ in range(40) for last in (1, 2)]
    lengths = [len(row) for row in rows]
    return Corpus(
        token_ids=np.array(rows, dtype=np.uint16).ravel(),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        contexts=np.full(len(rows), 6, dtype=np.int32),
    )


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save({"model": Qwen2(TINY).state_dict(), "config": asdict(TINY)}, tmp_path / "start.pt")
    return tmp_path / "start.pt"


def margins(checkpoint: Path, pairs: Corpus) -> torch.Tensor:
    state = torch.load(checkpoint, weights_only=True)
    model = Qwen2(ModelConfig(**state["config"]))
    model.load_state_dict(state["model"])
    with torch.no_grad():
        sums, _ = _log_probs(model, pairs, np.arange(len(pairs)), "cpu")
    return sums[0::2] - sums[1::2]


def test_right_solutions_gain_on_wrong_ones(pairs: Corpus, start: Path, tmp_path: Path) -> None:
    prefer(pairs, start, tmp_path / "out", CONFIG)
    before, after = margins(start, pairs), margins(tmp_path / "out" / "checkpoint.pt", pairs)
    assert float((after - before).mean()) > 1
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert len(lines) == len(_plan(pairs, CONFIG)) == 30
    assert lines[0]["preference_loss"] == pytest.approx(np.log(2), abs=0.01)
    assert lines[-1]["preference_loss"] < 0.6


def test_every_pair_comes_once_in_each_epoch(pairs: Corpus) -> None:
    plan = _plan(pairs, replace(CONFIG, epochs=2))
    assert sorted(np.concatenate(plan)) == sorted([*range(80)] * 2)
    assert all((indices[0::2] + 1 == indices[1::2]).all() for indices in plan)
