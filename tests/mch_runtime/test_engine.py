"""The engine on a scripted session: text, steps, confidence, limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mch_runtime.engine import Engine
from mch_runtime.errors import DataError, UsageError
from mch_runtime.head.spec import Head
from mch_runtime.observer import Part
from mch_runtime.options import AskOptions, SamplingOptions
from mch_runtime.session import Interrupt
from mch_runtime.trace import ModelInfo, Step, Trace
from mch_runtime.wire import from_wire, to_wire
from prompts.dialects import shipped
from tests.fake_session import FakeSession
from tests.head_samples import random_head

QUESTION = "How many?"
REPLY = "Step 1: 2 + 2 = 4.\n\nStep 2: grüße 🍎.\nAnswer: 27"
INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)


class Listener:
    def __init__(self) -> None:
        self.parts: dict[str, str] = {"reasoning": "", "answer": ""}
        self.steps: list[Step] = []
        self.progress: list[tuple[int, int]] = []
        self.on_text: Callable[[str], None] = lambda _text: None

    def prefill(self, done: int, total: int) -> None:
        self.progress.append((done, total))

    def text(self, text: str, part: Part) -> None:
        self.parts[part] += text
        self.on_text(text)

    def step(self, step: Step) -> None:
        self.steps.append(step)


def engine(
    *,
    head: Head | None = None,
    n_ctx: int = 512,
    interrupt: Interrupt | None = None,
    fits: bool = True,
    reply: str = REPLY,
) -> Engine:
    session = FakeSession({QUESTION: reply}, n_ctx=n_ctx, interrupt=interrupt)
    return Engine(session, model=INFO, dialect=shipped()["sage-pico"], head=head, head_fits=fits)


def pico_head(**changes: object) -> Head:
    return random_head(d=FakeSession.n_embd, template=shipped()["sage-pico"].sha256, **changes)


def ask(made: Engine, listener: Listener | None = None, **options: object) -> Trace:
    return made.ask(QUESTION, AskOptions(**options), observer=listener)  # type: ignore[arg-type]


def test_an_answer_with_its_steps() -> None:
    listener = Listener()
    trace = ask(engine(), listener)
    assert (trace.answer, trace.answer_text, trace.text) == ("27", "27", REPLY)
    assert listener.parts == {"reasoning": REPLY.removesuffix(" 27"), "answer": " 27"}
    assert [s.text for s in trace.steps] == ["Step 1: 2 + 2 = 4.", "Step 2: grüße 🍎.", "Answer: 27"]
    assert list(trace.steps) == listener.steps
    assert [s.tokens[0] for s in trace.steps[1:]] == [s.tokens[1] for s in trace.steps[:-1]]
    assert trace.steps[-1].tokens[1] == trace.cost.generated_tokens == len(trace.token_ids)
    assert trace.finish_reason == "stop"
    assert trace.steps[0].logprob_min <= trace.steps[0].logprob_mean <= 0


def test_a_step_taken_back_is_withdrawn() -> None:
    listener = Listener()
    wait = "Wait, step 2 is wrong."
    trace = ask(engine(reply=f"Step 1: so.\nStep 2: no.\n{wait}\n{wait}\nStep 2: yes.\nAnswer: 27"), listener)
    assert [s.verdict for s in trace.steps] == [None, "withdrawn", None, None, None, None]
    # When it was told, nobody knew.
    assert [s.verdict for s in listener.steps] == [None] * 6
    assert from_wire(to_wire(trace)).steps[1].verdict == "withdrawn"


def test_without_a_head_nothing_is_claimed() -> None:
    trace = ask(engine())
    assert trace.confidence is trace.confidence_raw is trace.confidence_basis is None
    assert all(step.confidence is None for step in trace.steps)


def test_with_a_head_every_step_is_judged() -> None:
    trace = ask(engine(head=pico_head()))
    for step in trace.steps:
        assert step.confidence is not None
        assert set(step.confidence) == {"valid", "sound", "answer"}
        assert all(0 < value < 1 for value in step.confidence.values())
    assert trace.confidence == trace.confidence_raw
    assert trace.confidence_basis == "fast"
    assert 0 < (trace.confidence or 0) < 1


@pytest.mark.parametrize("why", ["system", "template", "base", "length"])
def test_confidence_is_null_where_calibration_does_not_hold(why: str) -> None:
    head = pico_head() if why != "template" else random_head(d=FakeSession.n_embd, template="0" * 64)
    options: dict[str, object] = {"system": {"system": "Be brief."}, "length": {"max_tokens": 12}}.get(
        why, {}
    )  # type: ignore[assignment]
    trace = ask(engine(head=head, fits=why != "base"), **options)
    assert trace.confidence is None
    assert trace.confidence_basis is None
    if why != "length":
        assert trace.confidence_raw is not None
        assert trace.steps[0].confidence is None


def test_a_limit_ends_the_answer() -> None:
    trace = ask(engine(), max_tokens=5)
    assert (trace.finish_reason, trace.text, trace.answer) == ("length", "Step ", None)
    assert len(trace.token_ids) == 5


@pytest.mark.parametrize(("characters", "known"), [(10, False), (18, False), (19, True)])
def test_a_step_that_was_cut_off_has_no_confidence(characters: int, known: bool) -> None:
    assert REPLY[:19] == "Step 1: 2 + 2 = 4.\n"
    trace = ask(engine(head=pico_head()), max_tokens=characters)
    (step,) = trace.steps
    assert (step.confidence is not None) is known
    assert trace.confidence_raw is not None


def test_the_context_is_a_limit_too() -> None:
    made = engine(n_ctx=len(QUESTION) + 2 + 20)
    trace = ask(made)
    assert trace.finish_reason == "length"
    assert trace.cost.prompt_tokens + trace.cost.generated_tokens == made.session.n_ctx


def test_reading_a_long_question_is_told() -> None:
    listener = Listener()
    trace = engine(n_ctx=2000).ask("x" * 1200 + QUESTION, AskOptions(), observer=listener)
    total = trace.cost.prompt_tokens
    assert listener.progress == [(0, total), (512, total), (1024, total), (total - 1, total), (total, total)]
    assert trace.answer == "27"


def test_a_question_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="tokens"):
        ask(engine(n_ctx=10))


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        engine().ask(question, AskOptions())


def test_an_interrupt_keeps_what_was_written() -> None:
    interrupt, listener = Interrupt(), Listener()
    listener.on_text = lambda text: interrupt.request() if text == "g" else None
    trace = ask(engine(head=pico_head(), interrupt=interrupt), listener)
    assert trace.finish_reason == "interrupted"
    assert REPLY.startswith(trace.text)
    assert len(trace.steps) == 2
    assert trace.steps[-1].confidence is None
    assert trace.confidence is None


def test_an_interrupt_before_the_first_token() -> None:
    interrupt = Interrupt()
    interrupt.request()
    trace = ask(engine(interrupt=interrupt))
    assert (trace.text, trace.steps, trace.answer) == ("", (), None)


def test_seeds_repeat() -> None:
    sampling = SamplingOptions(temperature=2.0, seed=5)
    assert ask(engine(), sampling=sampling).text == ask(engine(), sampling=sampling).text
    assert ask(engine(), sampling=SamplingOptions(temperature=2.0)).seed >= 0


def test_the_wire_form_is_complete() -> None:
    for made in (engine(), engine(head=pico_head())):
        trace = ask(made)
        wire = to_wire(trace)
        assert wire["schema"] == "sage.trace/1"
        again = from_wire(wire)
        assert to_wire(again) == wire
        assert again.steps[0].text == trace.steps[0].text


def test_traces_of_before_votes_can_be_read() -> None:
    wire = dict(to_wire(ask(engine())))
    for key in ("votes", "escalations", "choice"):
        del wire[key]
    old = from_wire(wire)
    assert (old.votes, old.escalations, old.choice) == ((), (), None)


def test_votes_of_a_trace_are_read_strictly() -> None:
    wire = {**to_wire(ask(engine())), "votes": [{"answer": "27", "number": 3}]}
    with pytest.raises(DataError, match="incomplete"):
        from_wire(wire)
