"""A conversation reads only what is new, says beforehand what will not fit, and may let its past fade."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mch_runtime.conversation import Conversation, Turn
from mch_runtime.engine import Engine
from mch_runtime.errors import UsageError
from mch_runtime.observer import SilentObserver
from mch_runtime.options import AskOptions, Landmarks, SamplingOptions
from mch_runtime.prefix import Prefix, landmark_places
from mch_runtime.session import Feed, Interrupt
from mch_runtime.trace import ModelInfo
from prompts.dialects import shipped
from tests.fake_session import FakeSession
from tests.head_samples import random_head

REPLIES = {
    "How many?": "Step 1: 2 + 2 = 4.\nAnswer: 4",
    "And then?": "Step 1: 4 + 1 = 5.\nAnswer: 5",
    "Who?": "<think>me</think>It was me.",
}
INFO = ModelInfo(name="fake", file="fake.gguf", quantization="F32", fingerprint="f", head=None)
SILENT = SilentObserver()


def engine(*, n_ctx: int = 512, dialect: str = "sage-pico", head: bool = False, **options: Any) -> Engine:
    session = FakeSession(REPLIES, n_ctx=n_ctx, **options)
    found = random_head(d=FakeSession.n_embd, template=shipped()[dialect].sha256) if head else None
    return Engine(session, model=INFO, dialect=shipped()[dialect], head=found)


def conversation(made: Engine, **options: Any) -> Conversation:
    return Conversation(made, AskOptions(), **options)


def asked(talk: Conversation, question: str) -> Turn:
    turn = talk.ask(question, observer=SILENT)
    assert turn is not None
    return turn


def read(turn: Turn) -> int:
    return turn.trace.cost.prompt_tokens - turn.trace.cost.cached_tokens


def test_a_second_question_reads_what_is_new() -> None:
    made = engine()
    talk = conversation(made)
    first = asked(talk, "How many?")
    assert (first.trace.answer, first.trace.cost.cached_tokens) == ("4", 0)
    second = asked(talk, "And then?")
    assert second.trace.answer == "5"
    # <|user|>And then?<|assistant|>; the end of the first answer was read when it was written.
    assert read(second) == len("And then?") + 2
    whole = engine().ask("And then?", talk.asking() and AskOptions(past=first.messages))
    assert whole.cost.prompt_tokens == second.trace.cost.prompt_tokens
    assert whole.text == second.trace.text


def test_an_answer_drawn_again_reads_one_token() -> None:
    talk = conversation(engine())
    asked(talk, "How many?")
    asked(talk, "And then?")
    again = talk.again(observer=SILENT)
    assert again is not None
    assert read(again) == 1
    assert [turn.question for turn in talk.turns] == ["How many?", "And then?"]


def test_taking_back_costs_nothing() -> None:
    talk = conversation(engine())
    asked(talk, "How many?")
    asked(talk, "And then?")
    assert talk.undo().question == "And then?"
    assert read(asked(talk, "And then?")) == 1
    talk.undo()
    talk.undo()
    with pytest.raises(UsageError, match="nothing was asked"):
        talk.undo()


def test_another_road_is_taken_by_going_back_in_the_cache() -> None:
    made = engine(head=True)
    talk = conversation(made)
    first = asked(talk, "How many?")
    place = first.trace.text.index("2 + 2")
    begin = [*first.trace.token_ids[:place], ord("3")]
    other = talk.again(observer=SILENT, begin=begin)
    assert other is not None
    assert other.trace.text.startswith("Step 1: 3")
    # What was before the turn comes from the cache but for the token whose row gives the new one's probability.
    assert other.trace.cost.cached_tokens == other.trace.cost.prompt_tokens + place - 1
    assert len(talk.turns) == 1
    plain = engine(head=True).ask("How many?", AskOptions(begin=tuple(begin)))
    assert plain.text == other.trace.text
    assert plain.steps == other.trace.steps, "statistics and confidences are those of reading it all"


def test_the_same_beginning_gives_the_same_answer() -> None:
    talk = conversation(engine(head=True))
    first = asked(talk, "How many?")
    other = talk.again(observer=SILENT, begin=first.trace.token_ids[:7])
    assert other is not None
    assert other.trace.token_ids == first.trace.token_ids
    assert other.trace.steps == first.trace.steps
    assert other.trace.confidence == first.trace.confidence


def test_confidence_is_not_known_behind_other_turns() -> None:
    talk = conversation(engine(head=True))
    assert asked(talk, "How many?").trace.confidence is not None
    second = asked(talk, "And then?")
    assert second.trace.confidence is None
    assert second.trace.confidence_raw is not None


def test_single_questions_keep_their_confidence() -> None:
    talk = conversation(engine(head=True), policy="single")
    asked(talk, "How many?")
    second = asked(talk, "And then?")
    assert second.trace.confidence is not None
    assert second.trace.cost.prompt_tokens == len("And then?") + 2
    assert talk.used() == second.trace.cost.prompt_tokens + second.trace.cost.generated_tokens


def test_of_several_chains_the_chosen_one_is_part_of_the_conversation() -> None:
    for policy in ("full", "single"):
        talk = conversation(engine(), policy=policy)
        turn = asked(talk, "How many?")
        used, trace = talk.used(), turn.trace
        spent = replace(trace.cost, generated_tokens=8 * trace.cost.generated_tokens)
        talk.turns[-1] = replace(turn, trace=replace(trace, cost=spent))
        assert talk.used() == used


def test_marked_reasoning_is_not_shown_again() -> None:
    talk = conversation(engine(dialect="chatml"))
    first = asked(talk, "Who?")
    assert first.said.content == "It was me."
    assert first.said.token_ids == ()


def test_what_will_not_fit_is_told_before() -> None:
    made = engine(n_ctx=160)
    talk = conversation(made)
    for _ in range(3):
        assert talk.fits("How many?").ok
        asked(talk, "How many?")
    fit = talk.fits("How many?")
    assert not fit.ok
    decodes = len(made.session.decodes)
    with pytest.raises(UsageError, match="must leave 40 for the answer") as refused:
        asked(talk, "How many?")
    assert f"/forget {fit.drop}" in refused.value.hint
    assert len(made.session.decodes) == decodes
    assert len(talk.turns) == 3
    talk.forget(fit.drop or 0)
    assert talk.fits("How many?").ok
    assert asked(talk, "How many?").trace.answer == "4"


def test_a_question_that_never_fits_says_so() -> None:
    talk = conversation(engine(n_ctx=160))
    asked(talk, "How many?")
    assert talk.fits("x" * 200).drop is None
    with pytest.raises(UsageError, match="tokens"):
        asked(talk, "x" * 200)


def test_an_interrupt_keeps_the_partial_answer() -> None:
    interrupt = Interrupt()
    made = engine(interrupt=interrupt)
    talk = conversation(made)

    class Stopping(SilentObserver):
        def text(self, text: str, part: str) -> None:
            if text == "2":
                interrupt.request()

    turn = talk.ask("How many?", observer=Stopping())
    assert turn is not None
    assert turn.interrupted
    assert turn.said.content == "Step 1: 2"
    interrupt.clear()
    second = asked(talk, "And then?")
    assert second.trace.answer == "5"
    # Also the last token, which was written and not read, and the end that the template puts there.
    assert read(second) == 1 + 1 + len("And then?") + 2


def test_an_interrupt_before_the_answer_leaves_no_turn() -> None:
    interrupt = Interrupt()
    talk = conversation(engine(interrupt=interrupt))
    asked(talk, "How many?")
    interrupt.request()
    assert talk.ask("And then?", observer=SILENT) is None
    assert talk.again(observer=SILENT) is None
    assert talk.again(observer=SILENT, begin=[65, 66]) is None
    assert [turn.question for turn in talk.turns] == ["How many?"]
    interrupt.clear()
    assert asked(talk, "And then?").trace.answer == "5"


def test_options_of_one_answer_alone() -> None:
    talk = conversation(engine())
    asked(talk, "How many?")
    drawn = talk.again(observer=SILENT, options=AskOptions(sampling=SamplingOptions(temperature=0.5, seed=3)))
    assert drawn is not None
    assert drawn.trace.seed == 3
    assert talk.options.sampling.temperature == 0


def test_landmarks_go_on_beyond_the_context() -> None:
    made = engine(n_ctx=200)
    talk = conversation(made, policy="landmark", landmarks=Landmarks(window=64, every=4))
    talk.options = AskOptions(system="Be brief.", max_tokens=40)
    for turn in range(12):
        assert asked(talk, "How many?").trace.answer == "4", turn
        assert made.session.free_tokens >= 0
    assert talk.used() > 2 * made.session.n_ctx
    prefix = made._rig.held._prefix
    assert len(prefix._kept) == prefix.cells <= 200


def test_a_question_wider_than_the_window_is_refused() -> None:
    talk = conversation(engine(), policy="landmark", landmarks=Landmarks(window=20))
    with pytest.raises(UsageError, match="window"):
        talk.ask("x" * 30, observer=SILENT)


@settings(max_examples=60)
@given(
    known=st.integers(0, 400),
    head=st.integers(0, 40),
    window=st.integers(1, 60),
    every=st.integers(2, 9),
    room=st.integers(40, 200),
)
def test_landmarks_are_bounded_and_ascend(known: int, head: int, window: int, every: int, room: int) -> None:
    landmarks = Landmarks(window=window, every=every)
    try:
        places = landmark_places(known, head=head, landmarks=landmarks, room=room)
    except UsageError:
        assert head + window > room
        return
    assert places == sorted(set(places))
    assert len(places) <= room
    assert set(range(min(head, known))) <= set(places)
    assert set(range(max(0, known - window), known)) <= set(places)


def test_a_landmark_was_one_before() -> None:
    landmarks = Landmarks(window=8, every=2)
    before = set(range(500))
    for known in range(50, 500, 25):
        places = landmark_places(known, head=4, landmarks=landmarks, room=40)
        middle = {place for place in places if place < known - 33}
        assert middle <= before
        before = set(places)


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(97, 100), min_size=1, max_size=30), min_size=1, max_size=5))
def test_the_branch_holds_what_the_prefix_says(prompts: list[list[int]]) -> None:
    session = FakeSession({})
    prefix = Prefix(session)
    for prompt in prompts:
        branch = prefix.rewind(prompt)
        known = prefix.known
        assert known < len(prompt)
        session.decode([Feed(branch, prompt[known:], len(prompt) - known)], lambda _block: None)
        prefix.advance(prompt[known:])
        assert branch.tokens == prompt  # type: ignore[attr-defined]
        assert prefix.known == prefix.cells == len(prompt)
    prefix.release()
    assert session.free_branches == session.max_sequences
