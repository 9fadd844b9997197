"""Explanations of the embedded model's chains against one decode per token, without flash attention.

Its weights are quantized, and llama.cpp rounds differently in batches of different sizes: test_scoring.py has the
comparison on unquantized weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import numpy as np
import pytest

from mch_runtime.engine import Engine
from mch_runtime.explanation import Explanation
from mch_runtime.options import AskOptions, EngineOptions, ExplainOptions
from mch_runtime.prompting import make_prompt
from mch_runtime.trace import Trace
from prompts.dialects import shipped
from prompts.inverse import inverse_messages
from sage_cli.assets import DEFAULT_MODEL
from tests.mch_runtime.inverse.chains import slow_scores

PICO = shipped()["sage-pico"]
NEAR = 0.03
QUESTION = (
    "Ben has 4 apples. Anna has three times as many apples as Ben. Tom has 5 more apples than Anna. "
    "How many apples does Tom have?"
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    options = EngineOptions(model=DEFAULT_MODEL, threads=1, kv_type="f32", flash_attention=False)
    with Engine.open(options) as opened:
        yield opened


@pytest.fixture(scope="module")
def asked(engine: Engine) -> tuple[Trace, Explanation]:
    trace = engine.ask(QUESTION, AskOptions())
    return trace, engine.explain(trace, ExplainOptions(premises=False))


def test_reading_again_gives_what_writing_gave(asked: tuple[Trace, Explanation]) -> None:
    trace, found = asked
    for before, after in zip(trace.steps, found.trace.steps, strict=True):
        assert (before.text, before.tokens) == (after.text, after.tokens)
        assert after.logprob_mean == pytest.approx(before.logprob_mean, abs=NEAR)
        assert before.confidence is not None
        assert after.confidence == pytest.approx(before.confidence, abs=NEAR)


def test_commitment_is_that_of_one_decode_per_prefix(
    engine: Engine, asked: tuple[Trace, Explanation]
) -> None:
    trace, found = asked
    vocabulary = engine.session.vocabulary
    lines = [line for line in trace.text.splitlines(keepends=True) if not line.startswith("Answer")]
    for step, prefix in zip(found.trace.steps, accumulate(lines), strict=False):
        before = vocabulary.tokenize(f"<|user|>{QUESTION}<|assistant|>{prefix}Answer:", parse_special=True)
        whole = [*before, *vocabulary.tokenize(f" {trace.answer}"), *trace.token_ids[-1:]]
        logprobs, _ = slow_scores(engine.session, whole, len(before))
        assert step.commitment == pytest.approx(float(logprobs.sum()), abs=NEAR)


def test_consistency_is_a_difference_of_two_readings(
    engine: Engine, asked: tuple[Trace, Explanation]
) -> None:
    trace, found = asked
    rows = []
    for reasoning in (trace.text, ""):
        prompt = make_prompt(engine.session.vocabulary, PICO, inverse_messages(PICO, reasoning, QUESTION))
        assert prompt.question is not None
        start, end = prompt.question
        rows.append(slow_scores(engine.session, prompt.token_ids[:end], start)[0])
    assert found.consistency is not None
    assert np.allclose(found.consistency.tokens, rows[0] - rows[1], atol=3 * NEAR)
    assert found.consistency.ics == pytest.approx((rows[0] - rows[1]).mean(), abs=NEAR)
    assert found.consistency.ics > (found.consistency.control or 0)


def test_kept_and_read_again_agree(engine: Engine, asked: tuple[Trace, Explanation]) -> None:
    trace = engine.ask(QUESTION, AskOptions(keep=True))
    kept = engine.explain(trace, ExplainOptions(premises=False, alternatives=False))
    for one, other in zip(kept.trace.steps, asked[1].trace.steps, strict=True):
        assert one.commitment == pytest.approx(other.commitment, abs=NEAR)
        assert one.verdict == other.verdict
