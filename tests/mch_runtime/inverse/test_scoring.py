"""Scores of many texts in a batch are those of each text alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.errors import Interrupted
from mch_runtime.inverse.scoring import Job, row_scores, score, waves
from mch_runtime.llama.context import open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Feed, Interrupt
from mch_runtime.statistics import token_statistics
from tests.fake_session import FakeSession
from tests.gguf_samples import write_model
from tests.mch_runtime.inverse.chains import slow_scores

TINY = [5, 6, 7, 8]
TRUNK = list(b"some words that are shared")


@settings(max_examples=20)
@given(
    texts=st.lists(
        st.tuples(st.integers(0, len(TRUNK)), st.lists(st.integers(0, 255), min_size=1, max_size=20)),
        min_size=1,
        max_size=12,
    ),
    sequences=st.integers(2, 6),
)
def test_scores_are_those_of_one_decode_each(texts: list[tuple[int, list[int]]], sequences: int) -> None:
    session = FakeSession({}, max_sequences=sequences)
    with session.branch() as trunk:
        session.decode([Feed.last(trunk, TRUNK)], lambda _: None)
        jobs = [
            Job(parent=trunk, length=length, token_ids=token_ids, first=1 + len(token_ids) // 3)
            for length, token_ids in texts
            if len(token_ids) > 1
        ]
        found = score(session, jobs)
        assert session.free_branches == sequences - 1
    for job, scores in zip(jobs, found, strict=True):
        logprobs, entropies = slow_scores(
            session, [*TRUNK[: job.length], *job.token_ids], job.length + job.first
        )
        assert np.allclose(scores.logprobs, logprobs, atol=1e-5)
        assert np.allclose(scores.entropies, entropies, atol=1e-5)
        assert scores.total == pytest.approx(logprobs.sum(), abs=1e-4)


def test_scores_are_those_of_one_decode_each_in_llama_cpp(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_model(path)
    options = EngineOptions(
        model=path, ctx_size=256, threads=1, kv_type="f32", flash_attention=False, max_sequences=4
    )
    with (
        open_model(path, probe=False) as model,
        open_session(model, options, Interrupt()) as session,
        session.branch() as trunk,
    ):
        session.decode([Feed.last(trunk, TINY)], lambda _: None)
        rest = [9, 1, 4, 2, 7, 3, 3, 8, 6, 5, 2, 1]
        jobs = [
            Job(parent=trunk, length=length, token_ids=rest[: 3 + 2 * length], first=1 + 2 * length)
            for length in range(5)
        ]
        found = score(session, jobs)
        logprobs = [
            slow_scores(session, [*TINY[: job.length], *job.token_ids], job.length + job.first)[0]
            for job in jobs
        ]
    for scores, expected in zip(found, logprobs, strict=True):
        assert np.allclose(scores.logprobs, expected, atol=1e-3)


def test_all_jobs_share_one_decode() -> None:
    session = FakeSession({})
    score(session, [Job(parent=None, length=0, token_ids=[1, 2, place], first=1) for place in range(8)])
    assert session.decodes == [[2] * 8]


def test_waves_keep_to_the_room_there_is() -> None:
    session = FakeSession({}, n_ctx=100, max_sequences=3)
    assert list(waves(session, [10] * 7)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(waves(session, [60, 50, 30, 200, 1])) == [[0], [1, 2], [3], [4]]
    assert list(waves(session, [])) == []


def test_rows_agree_with_the_statistics_of_generation() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (5, 30)).astype(np.float32)
    logits[0, 3] = -np.inf
    token_ids = [4, 0, 29, 7, 7]
    logprobs, entropies = row_scores(logits, token_ids)
    for row, token_id, logprob, entropy in zip(logits, token_ids, logprobs, entropies, strict=True):
        expected = token_statistics(row, token_id)
        assert (logprob, entropy) == pytest.approx((expected.logprob, expected.entropy), abs=1e-5)


def test_an_interrupt_leaves_nothing_behind() -> None:
    interrupt = Interrupt()
    session = FakeSession({}, interrupt=interrupt)
    interrupt.request()
    with pytest.raises(Interrupted):
        score(session, [Job(parent=None, length=0, token_ids=[1, 2], first=1)])
    assert session.free_branches == 8
