"""Rankings against the plain measures, and the paired bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.baselines import fit_probe
from mch_runtime.evaluation.metrics import auroc, auroc_within
from mch_runtime.evaluation.ranking import rank, rank_within
from tests.mch_runtime.test_head_fit import synthetic


def sample(rows: int = 600) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < 0.6).astype(np.float64)
    scores = {
        "good": labels + rng.normal(0, 0.7, rows),
        "coarse": np.round(labels + rng.normal(0, 1, rows)),
        "none": rng.normal(size=rows),
    }
    return scores, labels, rng.integers(100, 250, size=rows)


def test_values_are_those_of_the_plain_measures() -> None:
    scores, labels, problems = sample()
    overall = rank(scores, labels, problems, rng=np.random.default_rng(1))
    within = rank_within(scores, labels, problems, rng=np.random.default_rng(1))
    for name, score in scores.items():
        assert overall.values[name] == pytest.approx(auroc(score, labels))
        assert within.values[name] == pytest.approx(auroc_within(score, labels, problems))
        for ranking in (overall, within):
            estimate = ranking.estimate(name)
            assert estimate.low < estimate.value < estimate.high


def test_differences_are_paired() -> None:
    scores, labels, problems = sample()
    scores["good again"] = 2 * scores["good"]
    ranking = rank(scores, labels, problems, rng=np.random.default_rng(1))
    gap, p = ranking.difference("good", "none")
    assert gap.low > 0.2
    assert p < 0.01
    same, p = ranking.difference("good", "good again")
    assert (same.value, same.low, same.high, p) == (0, 0, 0, 1)


def test_one_kind_of_label_ranks_nothing() -> None:
    scores, labels, problems = sample(40)
    assert np.isnan(rank(scores, 0 * labels, problems, rng=np.random.default_rng(1)).values["good"])


def test_the_probe_finds_what_is_linear() -> None:
    probe = fit_probe(synthetic(0, problems=300), synthetic(1, problems=150))
    test = synthetic(2, problems=300)
    states = test.hidden[test.starts[test.step_chains] + test.step_ends].astype(np.float64)
    confidence = 1 / (1 + np.exp(-probe.logits(states)[:, 0]))
    valid = test.labels[:, 0].astype(np.float64)
    assert auroc(confidence, valid) > auroc(states[:, 0], valid) - 0.03
    assert abs(confidence.mean() - valid.mean()) < 0.05
