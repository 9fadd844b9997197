"""Stop strings: where a text ends, and what is told of it on the way."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.engine import Engine
from mch_runtime.errors import UsageError
from mch_runtime.options import AskOptions, ExplainOptions, SamplingOptions
from mch_runtime.session import Interrupt
from mch_runtime.stopping import Stop
from mch_runtime.trace import ModelInfo, Step, Trace
from prompts.dialects import shipped
from tests.fake_session import FakeSession
from tests.head_samples import random_head

PICO = shipped()["sage-pico"]
QUESTION = "How many?"
REPLY = "Step 1: 2 + 2 = 4.\nStep 2: 4 + 3 = 7.\nAnswer: 7"
INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)


class Listener:
    def __init__(self) -> None:
        self.said = ""
        self.steps: list[Step] = []

    def prefill(self, done: int, total: int) -> None: ...

    def text(self, text: str, part: str) -> None:
        self.said += text

    def step(self, step: Step) -> None:
        assert step.text in self.said
        self.steps.append(step)

    def drawn(self, ended: int, wanted: int) -> None: ...


def engine(*, reply: str = REPLY, head: bool = False, interrupt: Interrupt | None = None) -> Engine:
    session = FakeSession({QUESTION: reply}, n_ctx=2000, interrupt=interrupt)
    found = random_head(d=FakeSession.n_embd, template=PICO.sha256) if head else None
    return Engine(session, model=INFO, dialect=PICO, head=found)


def asked(*stop: str, listener: Listener | None = None, **options: object) -> Trace:
    made = engine(head=True)
    return made.ask(QUESTION, AskOptions(stop=stop, **options), observer=listener)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stop", "text", "steps"),
    [
        ("Step 2", "Step 1: 2 + 2 = 4.\n", ["Step 1: 2 + 2 = 4."]),
        ("\n", "Step 1: 2 + 2 = 4.", ["Step 1: 2 + 2 = 4."]),
        ("= 4.\nStep 2: 4", "Step 1: 2 + 2 ", ["Step 1: 2 + 2"]),
        ("+ 3", "Step 1: 2 + 2 = 4.\nStep 2: 4 ", ["Step 1: 2 + 2 = 4.", "Step 2: 4"]),
        (REPLY[:30], "", []),
        ("7", "Step 1: 2 + 2 = 4.\nStep 2: 4 + 3 = ", ["Step 1: 2 + 2 = 4.", "Step 2: 4 + 3 ="]),
    ],
)
def test_a_chain_ends_in_front_of_a_stop_string(stop: str, text: str, steps: list[str]) -> None:
    listener = Listener()
    trace = asked(stop, listener=listener)
    assert (trace.text, trace.finish_reason, trace.answer) == (text, "stop", None)
    assert [step.text for step in trace.steps] == steps
    assert listener.said == text
    assert listener.steps == list(trace.steps)
    assert bytes(trace.token_ids).decode() == text
    assert trace.cost.generated_tokens == len(text) + len(stop)
    assert all(start < end <= len(text) for start, end in (step.tokens for step in trace.steps))


def test_what_begins_like_a_stop_string_and_is_none_is_told_in_the_end() -> None:
    listener = Listener()
    trace = asked("Answer: 71", "2 + 3", listener=listener)
    assert trace.text == listener.said == REPLY
    assert trace.answer == "7"
    assert listener.steps == list(trace.steps)
    plain = asked()
    assert (trace.steps, trace.confidence, trace.token_ids) == (
        plain.steps,
        plain.confidence,
        plain.token_ids,
    )


def test_a_cut_chain_claims_no_confidence() -> None:
    trace = asked("+ 3")
    assert trace.confidence is None
    assert trace.confidence_raw is not None
    assert [step.confidence is None for step in trace.steps] == [False, True]


def test_a_step_whose_withdrawal_is_cut_off_is_not_withdrawn() -> None:
    made = engine(reply="Step 1: so.\nStep 2: no.\nWait, step 2 is wrong.\nStep 2: yes.\nAnswer: 7")
    whole = made.ask(QUESTION, AskOptions(stop=("yes",)))
    assert [step.verdict for step in whole.steps] == [None, "withdrawn", None, None]
    cut = made.ask(QUESTION, AskOptions(stop=("\nWait, step 2 is wrong.\nStep",)))
    assert [step.verdict for step in cut.steps] == [None, None]


def test_every_mode_stops() -> None:
    from mch_runtime.effort import Effort

    for mode in ("fast", "vote", "think", "auto"):
        effort = Effort(mode=mode, votes=3, ics=True)  # type: ignore[arg-type]
        listener = Listener()
        seeded = SamplingOptions(seed=1)
        trace = asked("\nAnswer", listener=listener, effort=effort, sampling=seeded)
        assert trace.text == listener.said == REPLY.partition("\nAnswer")[0], mode
        assert (trace.finish_reason, trace.confidence) == ("stop", None)


def test_batches_stop() -> None:
    from mch_runtime.answering import Question

    options = AskOptions(stop=("Step 2",))
    found = list(engine().answers([Question(text=QUESTION, options=options)] * 3))
    assert [one.trace.text for one in found if one.trace] == ["Step 1: 2 + 2 = 4.\n"] * 3


def test_a_cut_answer_can_be_explained_and_gone_on_from() -> None:
    made = engine(head=True)
    trace = made.ask(QUESTION, AskOptions(stop=("Answer",), keep=True))
    assert made.explain(trace, ExplainOptions()).own
    said = made.message(trace)
    assert (said.content, said.token_ids) == (trace.text, trace.token_ids)
    begun = made.ask(QUESTION, AskOptions(begin=trace.token_ids, keep=True))
    assert begun.text == REPLY


def test_an_interrupt_shows_what_was_held_back() -> None:
    interrupt, listener = Interrupt(), Listener()

    class Ends(Listener):
        def step(self, step: Step) -> None:
            interrupt.request()

    trace = engine(interrupt=interrupt).ask(QUESTION, AskOptions(stop=("4.\nStep 3",)), observer=Ends())
    assert trace.finish_reason == "interrupted"
    assert REPLY.startswith(trace.text)
    del listener


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        AskOptions(stop=("",))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("ab", max_size=4), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_how_the_text_is_cut_into_pieces_does_not_matter(pieces: list[str], strings: list[str]) -> None:
    stop, text, sure = Stop(strings), "", 0
    for piece in pieces:
        text += piece
        stop.look(text, len(piece))
        assert stop.sure(text) >= sure  # what has been told is never taken back
        sure = stop.sure(text)
    ends = [(end, end - len(s)) for s in strings for end in range(len(text) + 1) if text[:end].endswith(s)]
    assert stop.place == (min(ends)[1] if ends else None)
