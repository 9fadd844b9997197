"""Commitment and usefulness against a decode for every prefix."""

from __future__ import annotations

import numpy as np
import pytest

from mch_runtime.inverse.commitment import Commitment, ask_commitment
from mch_runtime.inverse.reading import Read
from mch_runtime.inverse.scoring import answer as answered
from mch_runtime.prompting import make_prompt
from prompts.dialects import Dialect, shipped
from tests.fake_session import END, FakeSession
from tests.mch_runtime.inverse.chains import CHAIN, PICO, QUESTION, reading, slow_scores


def slow(session: FakeSession, prefix: str, answer: str) -> tuple[float, float]:
    prompt = make_prompt(session.vocabulary, PICO, [{"role": "user", "content": QUESTION}]).token_ids
    before = [*prompt, *f"{prefix}Answer:".encode()]
    logprobs, entropies = slow_scores(session, [*before, *f" {answer}".encode(), END], len(before))
    reached = np.exp(np.concatenate([[0.0], np.cumsum(logprobs)[:-1]]))
    return float(logprobs.sum()), float((reached * entropies).sum())


def measured(session: FakeSession, read: Read, answer: str, dialect: Dialect = PICO) -> Commitment | None:
    inquiry = ask_commitment(session.vocabulary, read, dialect=dialect, answer=answer)
    return None if inquiry is None else answered(session, [inquiry])[0]


@pytest.mark.parametrize("answer", ["7", "28", "unknown"])
def test_every_prefix_is_scored_as_if_alone_and_in_one_batch(answer: str) -> None:
    session = FakeSession({QUESTION: CHAIN})
    with reading(session) as read:
        session.decodes.clear()
        found = measured(session, read, answer)
        assert len(session.decodes) == 1
        assert len(session.decodes[0]) == 3
    assert found is not None
    lines = CHAIN.splitlines(keepends=True)
    expected = [slow(session, "".join(lines[:count]), answer) for count in range(3)]
    assert np.allclose(found.logprobs, [e[0] for e in expected], atol=1e-4)
    assert np.allclose(found.entropies, [e[1] for e in expected], atol=1e-4)
    assert np.allclose(found.usefulness, -np.diff(found.entropies))
    assert all(value >= 0 for value in found.entropies)


def test_steps_without_a_line_of_their_own_get_one() -> None:
    session = FakeSession({})
    text = "He has 2 and 2, so 4. They have 4 + 3 = 7. The answer is 7."
    with reading(session, text) as read:
        found = measured(session, read, "7")
        assert [step.segment.kind for step in read.steps] == ["step", "step", "answer"]
        first = read.text[: read.ends[read.steps[0].tokens[1] - 1]]
    assert found is not None
    assert found.logprobs[1] == pytest.approx(slow(session, f"{first}\n", "7")[0], abs=1e-4)


def test_an_answer_alone_has_a_commitment_before_everything() -> None:
    session = FakeSession({})
    with reading(session, "Answer: 7") as read:
        found = measured(session, read, "7")
    assert found is not None
    assert (len(found.logprobs), found.usefulness) == (1, ())


def test_none_for_a_model_that_was_not_trained_to_answer_early() -> None:
    session = FakeSession({})
    with reading(session) as read:
        assert measured(session, read, "7", shipped()["chatml"]) is None


def test_many_steps_go_in_waves() -> None:
    session = FakeSession({}, n_ctx=2000, max_sequences=4)
    chain = "".join(f"Step {n}: {n} + 1 = {n + 1}.\n" for n in range(1, 10)) + "Answer: 10"
    with reading(session, chain) as read:
        session.decodes.clear()
        found = measured(session, read, "10")
        assert [len(feeds) for feeds in session.decodes] == [3, 3, 3, 1]
    assert found is not None
    assert len(found.logprobs) == 10
