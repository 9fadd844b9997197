"""The words of a question: which tokens count, how they are scored, and what the engine makes of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mch_runtime.engine import Engine
from mch_runtime.familiarity import QuestionReader, lowest_mean, read_questions
from mch_runtime.head.spec import Familiarity
from mch_runtime.options import AskOptions
from mch_runtime.prompting import Prompt, make_prompt
from mch_runtime.session import Block, Feed
from mch_runtime.trace import ModelInfo, Trace
from prompts.dialects import shipped
from tests.fake_session import FakeSession, FakeVocabulary
from tests.head_samples import random_head

PICO = shipped()["sage-pico"]
QUESTION = "How many apples, please?"


def prompt_of(question: str) -> Prompt:
    return make_prompt(FakeVocabulary(), PICO, [{"role": "user", "content": question}])


def slow_logprobs(token_ids: list[int], span: tuple[int, int]) -> list[float]:
    """Every token's log-probability, from all logits at once."""
    session, rows = FakeSession({}, n_ctx=4096), []

    def keep(block: Block) -> None:
        rows.extend(np.array(block.logits, dtype=np.float64))

    with session.branch() as branch:
        session.decode([Feed(branch, token_ids)], keep)
    return [
        float(rows[i - 1][token_ids[i]] - np.log(np.exp(rows[i - 1]).sum()))
        for i in range(max(1, span[0]), span[1])
    ]


@given(st.lists(st.floats(-20, 0), min_size=1, max_size=40), st.integers(1, 12))
def test_lowest_mean(values: list[float], window: int) -> None:
    size = min(window, len(values))
    slow = min(sum(values[i : i + size]) / size for i in range(len(values) - size + 1))
    assert lowest_mean(values, window) == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("question", [QUESTION, "a", "grüße 🍎", "<|user|>hi<|assistant|>", "x" * 700])
def test_the_question_alone_is_marked(question: str) -> None:
    prompt = prompt_of(question)
    assert prompt.question is not None
    start, end = prompt.question
    vocabulary = FakeVocabulary()
    told = b"".join(vocabulary.piece(i) for i in prompt.token_ids[start:end])
    assert told.decode() == question
    assert b"".join(vocabulary.piece(i, special=True) for i in prompt.token_ids[:start]) == b"<|user|>"


def test_a_template_that_strips_and_one_that_hides() -> None:
    assert prompt_of("  hi \n").question is not None
    assert prompt_of("").question is None


def test_questions_are_scored_together_as_alone() -> None:
    questions = [QUESTION, "b", "A much longer question, with many more words in it. How many?"]
    prompts = [prompt_of(question) for question in questions]
    expected = []
    for prompt in prompts:
        assert prompt.question is not None
        expected.append(lowest_mean(slow_logprobs(prompt.token_ids, prompt.question), 8))
    for rows in (1, 2, 3):
        got = list(read_questions(FakeSession({}, n_ctx=4096), prompts, window=8, rows=rows))
        assert got == pytest.approx(expected, abs=1e-4)


def test_a_prompt_without_a_question_has_no_score() -> None:
    (score,) = read_questions(FakeSession({}), [Prompt([1, 2, 3], opens_reasoning=False)], window=8, rows=1)
    assert math.isnan(score)


def test_a_token_with_nothing_before_it_is_left_out() -> None:
    reader = QuestionReader([5, 6, 7], (0, 3))
    assert reader.first_output(0, 2) == 0
    assert not reader.complete


INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)


def ask(threshold: float | None, question: str = QUESTION, **options: object) -> Trace:
    session = FakeSession({question: "Step 1: 2 + 2 = 4.\nAnswer: 4"}, n_ctx=4096)
    rule = None if threshold is None else Familiarity(threshold=threshold, window=8)
    head = random_head(d=FakeSession.n_embd, template=PICO.sha256, familiarity=rule)
    return Engine(session, model=INFO, dialect=PICO, head=head).ask(question, AskOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 24, 511, 512, 513, 1300])
def test_the_engine_compares_the_question_with_the_threshold(length: int) -> None:
    question = (QUESTION * (1 + length // len(QUESTION)))[:length]
    prompt = prompt_of(question)
    assert prompt.question is not None
    lowest = lowest_mean(slow_logprobs(prompt.token_ids, prompt.question), 8)
    familiar, strange = ask(lowest - 0.001, question), ask(lowest + 0.001, question)
    assert familiar.familiar is True
    assert familiar.confidence is not None
    assert familiar.steps[0].confidence is not None
    assert strange.familiar is False
    assert strange.confidence is strange.confidence_basis is strange.steps[0].confidence is None
    assert strange.confidence_raw == familiar.confidence_raw
    assert strange.text == familiar.text


def test_where_it_is_not_measured_it_is_not_known() -> None:
    assert ask(None).familiar is None
    assert ask(None).confidence is not None
    assert ask(0.0, system="Be brief.").familiar is None


def test_without_a_threshold_no_logits_of_the_question_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = []
    decode = FakeSession.decode

    def counting(self: FakeSession, feeds: list[Feed], read: object) -> None:
        outputs.append(sum(len(feed.token_ids) - feed.first_output for feed in feeds))
        decode(self, feeds, read)  # type: ignore[arg-type]

    monkeypatch.setattr(FakeSession, "decode", counting)
    ask(None)
    assert outputs[:2] == [0, 1]
    outputs.clear()
    ask(-5.0)
    assert outputs[0] == 1 + len(QUESTION)  # one row for every token that stands before the template goes on
