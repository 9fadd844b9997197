"""Premises against random places, and steps that are tampered with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from mch_runtime.explanation import Premise
from mch_runtime.inverse.faithfulness import measure_faithfulness, tamper
from mch_runtime.inverse.premises import find_premises
from mch_runtime.inverse.segment import final_answer
from mch_runtime.llama.context import LlamaSession, open_session
from mch_runtime.llama.model import open_model
from mch_runtime.options import EngineOptions
from mch_runtime.session import Interrupt
from sage_cli.assets import DEFAULT_MODEL
from tests.fake_session import FakeSession
from tests.mch_runtime.inverse.test_premises import QUESTION, reading, told


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaSession]:
    options = EngineOptions(model=Path(DEFAULT_MODEL), threads=1, max_sequences=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path_factory.mktemp("cache")))
        with open_model(options.model) as model, open_session(model, options, Interrupt()) as opened:
            yield opened


def named(step: int, source: str, index: int) -> Premise:
    return Premise(step=step, source=source, index=index, span=(0, 1), text="")  # type: ignore[arg-type]


def test_true_premises_beat_random_ones(session: LlamaSession) -> None:
    with reading(session) as read:
        premises = find_premises(session, read, question=QUESTION, sentences=told())
        found = measure_faithfulness(
            session,
            read,
            question=QUESTION,
            sentences=told(),
            premises=premises,
            answer="17",
            answer_of=final_answer,
        )
        again = measure_faithfulness(
            session,
            read,
            question=QUESTION,
            sentences=told(),
            premises=premises,
            answer="17",
            answer_of=final_answer,
        )
    assert found == again  # seeded
    assert found is not None
    assert found.comprehensiveness > found.comprehensiveness_random > 0
    assert found.sufficiency < found.sufficiency_random
    assert found.answer_follows is not None
    assert found.answer_follows >= 0.5


def test_everything_is_enough(session: LlamaSession) -> None:
    premises = [named(0, "question", index) for index in range(4)]
    with reading(session) as read:
        found = measure_faithfulness(
            session,
            read,
            question=QUESTION,
            sentences=told(),
            premises=premises,
            answer=None,
            answer_of=final_answer,
        )
    assert found is not None
    assert found.sufficiency == found.sufficiency_random == 0
    assert found.comprehensiveness == pytest.approx(found.comprehensiveness_random)
    assert found.answer_follows is None


def test_nothing_named_is_nothing_measured() -> None:
    fake = FakeSession({}, n_ctx=4096)
    with reading(fake) as read:
        found = measure_faithfulness(
            fake,
            read,
            question=QUESTION,
            sentences=told(),
            premises=(),
            answer="17",
            answer_of=final_answer,
        )
    assert found is None


def test_tampering_changes_the_last_number_and_nothing_else() -> None:
    fake = FakeSession({}, n_ctx=4096)
    with reading(fake, chain="Ann has 3 of 12 apples.\nThat is all.\nAnswer: 9") as read:
        turns = [tamper(fake.vocabulary, read, step.segment.span, Random(1)) for step in read.steps]
        turn = turns[0]
        assert turn is not None
        assert read.text[read.ends[turn.token] - 2 : read.ends[turn.token]] == "12"
        assert fake.vocabulary.piece(turn.option.token_id) in {b"1", *(b"%d" % n for n in range(3, 10))}
        assert turns[1] is None
