"""The modes on a scripted session: what they choose, what they cost, what an interrupt leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from mch_runtime.answering import Answered, Question
from mch_runtime.effort import Effort, SelectionSettings
from mch_runtime.engine import Engine
from mch_runtime.errors import Interrupted, ResourceError, UsageError
from mch_runtime.head.spec import Calibrator, Head
from mch_runtime.observer import Part, SilentObserver
from mch_runtime.options import AskOptions, SamplingOptions
from mch_runtime.session import Feed, Interrupt, Reader
from mch_runtime.trace import Mode, ModelInfo, Step, Trace
from mch_runtime.wire import from_wire, to_wire
from prompts.dialects import shipped
from tests.fake_session import FakeSession
from tests.head_samples import random_head

REPLIES = {
    "How many?": "Step 1: 2 + 2 = 4.\nStep 2: 4 + 1 = 5.\nAnswer: 5",
    "How much?": "Step 1: 1 + 1 = 2.\nAnswer: 2",
    "Which one?": "Step 1: a.\nStep 2: b.\nStep 3: c.\nAnswer: c",
}
QUESTION = "How many?"
INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)
MODES: tuple[Mode, ...] = ("fast", "vote", "think", "auto")
ALL = SelectionSettings(stop_at=2.0)


def engine(
    *,
    head: Head | None = None,
    sequences: int = 12,
    n_ctx: int = 400,
    room: int = 4000,
    interrupt: Interrupt | None = None,
) -> Engine:
    session = FakeSession(REPLIES, n_ctx=n_ctx, room=room, max_sequences=sequences, interrupt=interrupt)
    return Engine(session, model=INFO, dialect=shipped()["sage-pico"], head=head)


def fitting_head(**changes: object) -> Head:
    return random_head(d=FakeSession.n_embd, template=shipped()["sage-pico"].sha256, **changes)


def options(mode: Mode, *, temperature: float = 0.0, **effort: object) -> AskOptions:
    return AskOptions(
        max_tokens=60,
        sampling=SamplingOptions(seed=7, temperature=temperature),
        effort=Effort(mode=mode, **effort),  # type: ignore[arg-type]
    )


def bare(trace: Trace) -> Trace:
    """Without what differs from run to run."""
    seconds = replace(trace.cost.seconds, load=0, prefill=0, decode=0, head=None, inverse=None)
    return replace(trace, created="", cost=replace(trace.cost, seconds=seconds, tokens_per_second=0.0))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_answers_and_its_trace_returns(mode: Mode) -> None:
    made = engine(head=fitting_head())
    trace = made.ask(QUESTION, options(mode, votes=6, ics=True))
    assert trace.mode == mode
    assert trace.finish_reason in {"stop", "length"}
    assert trace.token_ids
    assert "".join(step.text for step in trace.steps)
    assert trace.cost.generated_tokens >= len(trace.token_ids)
    back = from_wire(json.loads(json.dumps(to_wire(trace))))
    assert (back.votes == trace.votes) or all(
        one.count == other.count for one, other in zip(back.votes, trace.votes, strict=True)
    )
    assert len(back.escalations) == len(trace.escalations)
    assert made.session.free_branches == 12


def test_votes_agree_where_the_model_is_sure() -> None:
    trace = engine().ask(QUESTION, options("vote", votes=16, temperature=0.2))
    assert (trace.answer, trace.answer_text) == ("5", "5")
    assert [(vote.answer, vote.weight) for vote in trace.votes] == [("5", pytest.approx(1.0))]
    assert trace.choice is not None
    # Eight that agree decide.
    assert (trace.choice.chains, trace.votes[0].count) == (8, 8)
    assert trace.ics is not None
    assert trace.cost.scored_tokens > 0


def test_all_votes_are_drawn_where_nothing_may_stop_them() -> None:
    trace = engine().ask(QUESTION, options("vote", votes=16, temperature=0.2, settings=ALL))
    assert trace.choice is not None
    assert trace.choice.chains == 16


def test_votes_differ_where_the_model_is_not_sure() -> None:
    trace = engine().ask(QUESTION, options("vote", votes=8, temperature=1.0, rule="majority", settings=ALL))
    assert len(trace.votes) > 1
    assert trace.ics is None
    assert trace.cost.scored_tokens == 0
    assert sum(vote.count for vote in trace.votes) == 8


@pytest.mark.parametrize("sequences", [5])
@pytest.mark.parametrize("mode", MODES)
def test_a_chain_does_not_depend_on_what_is_beside_it(mode: Mode, sequences: int) -> None:
    wanted = options(mode, votes=3, temperature=0.9)
    alone = [bare(engine(head=fitting_head()).ask(question, wanted)) for question in REPLIES]
    made = engine(head=fitting_head(), sequences=sequences)
    together = list(made.answers(Question(text=question, options=wanted) for question in REPLIES))
    assert [one.place for one in together] == [0, 1, 2]
    for one, other in zip(together, alone, strict=True):
        assert one.trace is not None
        assert bare(one.trace) == other if mode != "fast" else bare(one.trace).text == other.text


def test_chains_wait_when_the_context_is_full() -> None:
    wanted = options("vote", votes=10, temperature=0.9, settings=ALL)
    free = engine().ask(QUESTION, wanted)
    tight = engine(n_ctx=200, room=0).ask(QUESTION, wanted)
    assert bare(tight) == bare(free)


def test_questions_share_batches_and_those_that_cannot_be_asked_do_not_stop_the_others() -> None:
    made = engine(n_ctx=200)
    texts = ["How many?", "", "x" * 300, "How much?"]
    found = list(made.answers(Question(text=text, options=options("fast")) for text in texts))
    assert [one.place for one in found] == [0, 1, 2, 3]
    assert [one.trace.answer if one.trace else None for one in found] == ["5", None, None, "2"]
    assert all(isinstance(one.error, UsageError) for one in found[1:3])
    assert max(map(len, made.session.decodes)) > 1  # type: ignore[attr-defined]


def test_a_budget_is_kept() -> None:
    for mode in MODES:
        wanted = options(mode, votes=16, budget=300, temperature=0.2, settings=ALL)
        trace = engine(head=fitting_head()).ask(QUESTION, wanted)
        assert trace.cost.generated_tokens + trace.cost.scored_tokens <= 300 * 1.2, mode
        assert trace.answer == "5", mode
    trace = engine().ask(QUESTION, options("fast", budget=5))
    assert (trace.finish_reason, len(trace.token_ids)) == ("length", 5)


def test_auto_stays_where_the_head_is_sure() -> None:
    sure = SelectionSettings(think_below=0.0)
    made = engine(head=fitting_head())
    fast = made.ask(QUESTION, options("fast"))
    trace = made.ask(QUESTION, options("auto", settings=sure))
    assert (trace.text, trace.votes, trace.escalations, trace.choice) == (fast.text, (), (), None)
    assert trace.confidence_basis == "fast"
    assert trace.confidence == pytest.approx(fast.confidence)


def test_auto_votes_where_it_is_not() -> None:
    doubtful = SelectionSettings(look_ahead_below=0.0, think_below=1.1)
    trace = engine(head=fitting_head()).ask(QUESTION, options("auto", settings=doubtful, votes=5))
    (escalation,) = trace.escalations
    assert (escalation.action, escalation.step, escalation.before) == ("vote", None, "5")
    assert "probability" in escalation.reason
    assert trace.votes
    assert trace.confidence is None  # these are not the settings that calibrators are fitted for


def test_auto_does_as_think_where_it_doubts_the_answer() -> None:
    doubtful = SelectionSettings(think_below=1.1, look_ahead_below=1.1, temperature=1.0)
    made = engine(head=fitting_head())
    trace = made.ask(QUESTION, options("auto", settings=doubtful))
    thought = made.ask(QUESTION, options("think", settings=doubtful))
    assert bare(trace) == replace(bare(thought), mode="auto")
    *steps, vote = trace.escalations
    assert [one.step for one in steps] == sorted(one.step for one in steps if one.step is not None)
    assert {one.action for one in steps} <= {"look_ahead", "step_back"}
    assert all(one.changed == (one.action == "step_back") for one in steps)
    assert steps[0].before == "Step 1: 2 + 2 = 4."
    assert vote.action == "vote"
    assert trace.confidence is None


def test_one_vote_is_looking_ahead_alone() -> None:
    doubtful = SelectionSettings(look_ahead_below=1.1, temperature=1.0)
    trace = engine(head=fitting_head()).ask(QUESTION, options("think", votes=1, settings=doubtful))
    assert trace.choice is not None
    assert trace.choice.chains == 1
    assert trace.escalations[0].action in {"look_ahead", "step_back"}


def test_without_a_head_the_tokens_say_where_doubt_is() -> None:
    trace = engine().ask(QUESTION, options("auto", votes=4))
    assert all("least likely token" in one.reason for one in trace.escalations)


def test_each_mode_has_a_calibrator_of_its_own() -> None:
    calibration = {
        "vote": Calibrator(
            features=("weighted_share", "share", "ics_margin", "n"), weight=(1.0, 2.0, 0.1, 0.0), bias=-1.0
        ),
        "think": Calibrator(features=("weighted_share", "unheard_of"), weight=(1.0, 1.0), bias=0.0),
    }
    made = engine(head=fitting_head(calibration=calibration))
    voted = made.ask(QUESTION, options("vote", votes=4))
    assert voted.confidence_basis == "vote"
    assert voted.confidence is not None
    assert voted.confidence_raw is not None
    thought = made.ask(QUESTION, options("think", votes=4))
    assert (thought.confidence, thought.confidence_basis) == (None, None)
    assert thought.confidence_raw is not None
    assert made.ask(QUESTION, replace(options("vote", votes=4), system="Be brief.")).confidence is None


class Stopping(SilentObserver):
    def __init__(self, interrupt: Interrupt, *, after: int) -> None:
        self._interrupt, self._after = interrupt, after
        self.told: list[tuple[int, int]] = []
        self.text_told = ""
        self.steps: list[Step] = []

    def drawn(self, ended: int, wanted: int) -> None:
        self.told.append((ended, wanted))
        if ended >= self._after:
            self._interrupt.request()

    def text(self, text: str, part: Part) -> None:
        self.text_told += text

    def step(self, step: Step) -> None:
        self.steps.append(step)


def test_an_interrupt_keeps_what_there_is() -> None:
    interrupt = Interrupt()
    made = engine(interrupt=interrupt, head=fitting_head(), sequences=6)
    observer = Stopping(interrupt, after=2)
    trace = made.ask(QUESTION, options("vote", votes=8, temperature=0.2), observer=observer)
    assert trace.finish_reason == "interrupted"
    assert sum(vote.count for vote in trace.votes) >= 1
    assert trace.confidence is None
    assert made.session.free_branches == 6


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupt_before_any_chain_has_ended(mode: Mode) -> None:
    interrupt = Interrupt()
    made = engine(interrupt=interrupt)
    session = made.session
    plain_decode = session.decode

    def decode(feeds, read, **wanted) -> None:  # type: ignore[no-untyped-def]
        plain_decode(feeds, read, **wanted)
        if len(session.decodes) == 12:  # type: ignore[attr-defined]
            interrupt.request()

    session.decode = decode  # type: ignore[method-assign]
    trace = made.ask(QUESTION, options(mode, votes=4, ics=True))
    assert trace.finish_reason == "interrupted"
    assert 0 < len(trace.token_ids) < 20
    assert trace.answer is None


def test_an_interrupted_batch_says_so_behind_what_was_done() -> None:
    interrupt = Interrupt()
    made = engine(interrupt=interrupt)

    def questions() -> Iterator[Question]:
        yield Question(text=QUESTION, options=options("fast"))
        interrupt.request()
        yield Question(text="How much?", options=options("fast"))

    found: list[Answered] = []
    with pytest.raises(Interrupted):
        found.extend(made.answers(questions()))
    assert all(one.trace is None or one.trace.finish_reason == "interrupted" for one in found)


def test_what_was_chosen_is_told_at_the_end() -> None:
    observer = Stopping(Interrupt(), after=99)
    trace = engine().ask(QUESTION, options("vote", votes=3), observer=observer)
    assert observer.text_told == trace.text
    assert observer.steps == list(trace.steps)
    assert observer.told[-1] == (3, 3)


def test_no_place_for_a_single_chain_is_an_error() -> None:
    with pytest.raises(ResourceError):
        engine(sequences=1).ask(QUESTION, options("vote", votes=2))


def test_a_sample_has_all_chains() -> None:
    trace, chains = engine(head=fitting_head()).sample(
        QUESTION, options("vote", votes=5, settings=ALL, windows=True)
    )
    assert len(chains) == 5
    assert trace.votes
    for one in chains:
        assert one.bottom_window is not None
        assert one.head is not None
        assert (one.ics is None) == (one.answer is None) or one.ics is not None


class Crowded(FakeSession):
    """Has no room for more than two chains, or for any of a question that says so, and finds out too late."""

    def decode(self, feeds: Sequence[Feed], read: Reader, *, states: bool = True) -> None:
        writing = [feed for feed in feeds if len(feed.token_ids) - feed.first_output == 1]
        full = any(b"endless" in bytes(t for t in feed.branch.tokens if t < 256) for feed in writing)  # type: ignore[attr-defined]
        if full or len(feeds) > 2:
            raise ResourceError("the context is full")
        super().decode(feeds, read, states=states)


def test_a_question_that_does_not_fit_beside_others_is_answered_later() -> None:
    session = Crowded({"How many?": "Step 1: so.\nAnswer: 7"}, n_ctx=2000)
    made = Engine(session, model=INFO, dialect=shipped()["sage-pico"])
    texts = ["How many?", "How many? endless", "How many?", "And how many? How many?", "How many?"]
    found = list(made.answers([Question(text=text, options=AskOptions()) for text in texts]))
    assert [one.place for one in found] == [0, 1, 2, 3, 4]
    assert [one.trace.answer if one.trace else None for one in found] == ["7", None, "7", "7", "7"]
    assert isinstance(found[1].error, ResourceError)
    assert session.free_branches == 8
