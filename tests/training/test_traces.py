"""Recording chains: what is written is what the runtime saw, and it comes back."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mch_runtime.errors import UsageError
from mch_runtime.familiarity import read_questions
from mch_runtime.fitting.making import familiarity_of
from mch_runtime.head.spec import Familiarity
from mch_runtime.options import SamplingOptions
from mch_runtime.statistics import FEATURE_NAMES
from tests.fake_session import FakeSession
from training.curriculum import Mixture, problems
from training.head import prompts
from training.problems import Problem
from training.traces import Sampled, load, load_problems, record, sample


def some(count: int) -> list[Problem]:
    stream = problems(Mixture(("quantities", "order")), split_name="validation", seed=1)
    return [next(stream) for _ in range(count)]


def sampled(chosen: list[Problem], *, chains: int = 1, temperature: float = 0.0) -> list[Sampled]:
    replies = {problem.question: problem.solution for problem in chosen}
    sampling = SamplingOptions(temperature=temperature, top_k=0, top_p=1.0, min_p=0.0, seed=1)
    session = FakeSession(replies, n_ctx=4096, max_sequences=64)
    return list(sample(session, iter(chosen), count=len(chosen), chains=chains, sampling=sampling, rows=4))


def test_right_chains_are_recorded_as_right(tmp_path: Path) -> None:
    chosen = some(5)
    traces = record(sampled(chosen), tmp_path / "traces.npz")
    assert traces.labels.all()
    assert traces.is_answer.sum() == 5
    assert traces.problems.tolist() == [0, 1, 2, 3, 4]
    assert np.bincount(traces.step_chains).tolist() == [len(p.steps) + 1 for p in chosen]
    assert traces.hidden.shape == (traces.starts[-1], FakeSession.n_embd)
    assert traces.features.shape == (traces.starts[-1], len(FEATURE_NAMES))
    assert (traces.step_ends[traces.last_steps] == np.diff(traces.starts) - 1).all()


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    chosen = some(3)
    chains = sampled(chosen, chains=2, temperature=1.0)
    record(iter(chains), tmp_path / "traces.npz")
    traces = load(tmp_path / "traces.npz")
    for index, one in enumerate(chains):
        span = slice(traces.starts[index], traces.starts[index + 1])
        assert np.array_equal(traces.hidden[span], np.stack(one.recorder.hidden))
        assert np.array_equal(traces.features[span], np.stack(one.recorder.features))
    table = load_problems(tmp_path / "traces.npz")
    assert table.family.tolist() == [p.family for p in chosen]
    assert table.steps.tolist() == [len(p.steps) for p in chosen]
    assert set(table.kind.tolist()) == {"answerable"}
    assert not (tmp_path / "traces.partial").exists()


def test_features_are_found_by_name() -> None:
    (one, *_) = sampled(some(1))
    chosen = one.recorder.features_for(("chain_logprob_min", "logprob"))
    assert np.array_equal(chosen[:, 0], np.minimum.accumulate(chosen[:, 1]))


def test_one_question_in_a_hundred_is_under_the_threshold() -> None:
    chosen, session = some(200), FakeSession({}, n_ctx=16_384, max_sequences=64)
    asked = [problem.question for problem in chosen]
    rule = familiarity_of(session, prompts(session, asked))
    assert isinstance(rule, Familiarity)
    scores = list(read_questions(session, prompts(session, asked), window=rule.window, rows=32))
    assert not any(map(math.isnan, scores))
    assert sum(score < rule.threshold for score in scores) == 2
    with pytest.raises(UsageError, match="too few"):
        familiarity_of(session, prompts(session, asked[:50]))
