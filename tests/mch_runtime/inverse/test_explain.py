"""The engine's explanations on a scripted session."""

from __future__ import annotations

import pytest

from mch_runtime.engine import Engine
from mch_runtime.errors import Interrupted, UsageError
from mch_runtime.explanation import Explanation
from mch_runtime.head.spec import Head
from mch_runtime.inverse.subject import Written
from mch_runtime.options import AskOptions, ExplainOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import ModelInfo, Trace
from prompts.dialects import Dialect, shipped
from tests.fake_session import FakeSession
from tests.head_samples import random_head
from tests.mch_runtime.inverse.chains import CHAIN, PICO, QUESTION

INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)
LITTLE = ExplainOptions(
    monotonicity=False, control=False, premises=False, alternatives=False, faithfulness=False
)


def pico_head() -> Head:
    return random_head(d=FakeSession.n_embd, template=PICO.sha256)


def engine(
    *,
    head: Head | None = None,
    n_ctx: int = 2000,
    dialect: Dialect = PICO,
    interrupt: Interrupt | None = None,
    fingerprint: str = "f",
) -> Engine:
    session = FakeSession({QUESTION: CHAIN}, n_ctx=n_ctx, interrupt=interrupt)
    info = ModelInfo(**{**INFO.__dict__, "fingerprint": fingerprint})
    return Engine(session, model=info, dialect=dialect, head=head)


def ask(made: Engine, **options: object) -> Trace:
    return made.ask(QUESTION, AskOptions(**options))  # type: ignore[arg-type]


def decodes(made: Engine) -> list[list[int]]:
    assert isinstance(made.session, FakeSession)
    return made.session.decodes


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []

    def measuring(self, what: str) -> None:
        self.told.append(what)


def test_an_own_chain_keeps_what_its_generation_measured() -> None:
    made = engine(head=pico_head())
    trace = ask(made)
    found = made.explain(trace, ExplainOptions())
    assert found.own
    for before, after in zip(trace.steps, found.trace.steps, strict=True):
        assert (before.text, before.tokens, before.confidence) == (after.text, after.tokens, after.confidence)
        assert after.logprob_mean == pytest.approx(before.logprob_mean, abs=1e-6)
    assert (found.trace.confidence, found.trace.confidence_raw) == (trace.confidence, trace.confidence_raw)
    assert [step.commitment is None for step in found.trace.steps] == [False, False, True]
    assert [value is None for value in found.usefulness] == [False, False, True]
    assert found.consistency is not None
    assert found.trace.ics == found.consistency.ics
    assert found.consistency.monotonicity is not None
    assert len(found.consistency.monotonicity) == 3
    assert found.sentences == ((0, len(QUESTION)),)
    cost = found.trace.cost
    assert cost.scored_tokens == sum(map(sum, decodes(made))) - cost.prompt_tokens - cost.generated_tokens
    assert (cost.seconds.inverse or 0) > 0
    assert cost.generated_tokens == trace.cost.generated_tokens


def test_steps_commitment_and_consistency_take_two_decodes() -> None:
    made = engine(head=pico_head())
    trace = ask(made)
    decodes(made).clear()
    made.explain(trace, LITTLE)
    assert len(decodes(made)) == 2


def test_a_kept_chain_is_not_read_again() -> None:
    made = engine(head=pico_head())
    trace = ask(made, keep=True)
    assert made.session.free_branches == 7
    decodes(made).clear()
    kept = made.explain(trace, LITTLE)
    assert len(decodes(made)) == 1
    again = engine(head=pico_head()).explain(trace, LITTLE)
    assert kept.trace.steps == again.trace.steps
    assert (kept.usefulness, kept.consistency) == (again.usefulness, again.consistency)
    made.explain(trace, ExplainOptions())
    assert made.session.free_branches == 7  # for the next question to go on from


def test_the_next_question_and_the_end_forget_what_was_kept() -> None:
    made = engine()
    ask(made, keep=True)
    ask(made)
    assert made.session.free_branches == 8
    ask(made, keep=True)
    made.close()
    assert made.session.free_branches == 8


def test_a_chain_by_another_is_scored_and_its_confidence_not_known() -> None:
    made = engine(head=pico_head())
    text = "They have 2 + 2 = 4 first. Then 4 + 3 = 7. The answer is 7."
    found = made.explain(Written(question=QUESTION, text=text), ExplainOptions())
    assert not found.own
    assert (found.trace.answer, found.trace.text) == ("7", text)
    assert found.trace.confidence is None
    assert 0 < (found.trace.confidence_raw or 0) < 1
    assert all(step.confidence is None for step in found.trace.steps)
    assert [step.commitment is None for step in found.trace.steps] == [False, False, True]
    assert found.trace.cost.generated_tokens == 0


def test_a_trace_of_another_model_is_another_s_chain() -> None:
    trace = ask(engine(head=pico_head()))
    found = engine(head=pico_head(), fingerprint="other").explain(trace, LITTLE)
    assert (found.own, found.trace.confidence, found.trace.model.fingerprint) == (False, None, "other")
    forged = Trace(**{**trace.__dict__, "text": trace.text.replace("7", "8")})
    assert not engine(head=pico_head()).explain(forged, LITTLE).own


@pytest.mark.parametrize(
    ("text", "answer", "steps", "expected"),
    [
        ("", "7", ["Answer: 7"], "7"),
        ("It is 7", "7", ["It is 7", "Answer: 7"], "7"),
        ("Step 1: 2 + 2 = 4.", None, ["Step 1: 2 + 2 = 4."], None),
        ("Answer: 7", None, ["Answer: 7"], "7"),
        ("Step 1: 4.\nAnswer: 7", "8", ["Step 1: 4.", "Answer: 7"], "8"),
    ],
)
def test_chains_with_little_in_them(
    text: str, answer: str | None, steps: list[str], expected: str | None
) -> None:
    made = engine(head=pico_head())
    found = made.explain(Written(question=QUESTION, text=text, answer=answer), ExplainOptions())
    assert [step.text for step in found.trace.steps] == steps
    assert found.trace.answer == expected
    assert found.consistency is not None
    if expected is None:
        assert found.trace.steps[0].commitment is None


def test_control_tokens_in_a_chain_stay_text() -> None:
    text = "<|user|>How?<|assistant|><think>Step 1: 4.\nAnswer: 7"
    found = engine().explain(Written(question=QUESTION, text=text), LITTLE)
    assert found.trace.text == text
    assert [token for token in found.trace.token_ids if token > 255] == [256]  # the end, of our own making


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_chain_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        engine().explain(Written(question=QUESTION, text=text), ExplainOptions())


def test_a_chain_that_does_not_fit_is_refused_before_anything_is_decoded() -> None:
    made = engine(n_ctx=200)
    with pytest.raises(UsageError, match="context holds 200"):
        made.explain(Written(question=QUESTION, text="Step 1: so. " * 30), ExplainOptions())
    assert decodes(made) == []


@pytest.mark.parametrize("after", range(0, 12, 3))
def test_an_interrupt_ends_an_explanation_and_leaves_nothing(after: int) -> None:
    interrupt = Interrupt()
    made = engine(head=pico_head(), interrupt=interrupt)
    trace = ask(made, keep=True)
    session = made.session
    assert isinstance(session, FakeSession)
    begun = len(session.decodes)

    class Counting(list[list[int]]):
        def append(self, feeds: list[int]) -> None:
            super().append(feeds)
            if len(self) >= begun + after:
                interrupt.request()

    session.decodes = Counting(session.decodes)
    if after == 0:
        interrupt.request()
    options = ExplainOptions(faithfulness=True)
    with pytest.raises(Interrupted):
        made.explain(trace, options)
    assert session.free_branches == 7  # the answer itself stays
    session.decodes = []
    interrupt.clear()
    again, fresh = made.explain(trace, LITTLE), engine(head=pico_head()).explain(trace, LITTLE)
    assert again.trace.steps == fresh.trace.steps
    made.close()
    assert session.free_branches == 8


def test_it_is_repeatable_but_for_the_time() -> None:
    def once() -> Explanation:
        made = engine(head=pico_head())
        return made.explain(ask(made), ExplainOptions(faithfulness=True))

    one, other = once(), once()
    assert [step.evidence for step in one.trace.steps] == [step.evidence for step in other.trace.steps]
    assert (one.decisions, one.premises, one.consistency) == (
        other.decisions,
        other.premises,
        other.consistency,
    )


def test_what_was_not_asked_for_is_none_and_what_is_measured_is_told() -> None:
    made, listener = engine(), Listener()
    found = made.explain(ask(made), LITTLE, observer=listener)
    assert listener.told == ["steps", "consistency"]
    assert found.decisions is found.premises is found.faithfulness is None
    made.explain(ask(made), ExplainOptions(faithfulness=True), observer=listener)
    assert listener.told[2:] == ["steps", "consistency", "premises", "faithfulness", "alternatives"]


def test_a_model_of_another_dialect_has_no_commitment() -> None:
    made = engine(dialect=shipped()["chatml"])
    found = made.explain(Written(question=QUESTION, text=CHAIN), LITTLE)
    assert found.usefulness == (None, None, None)
    assert found.consistency is not None


def test_options_that_contradict_are_refused() -> None:
    with pytest.raises(UsageError, match="premises"):
        ExplainOptions(faithfulness=True, premises=False)
    with pytest.raises(UsageError, match="range"):
        ExplainOptions(points=0)
