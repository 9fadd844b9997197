"""Going on with a conversation of the log."""

from __future__ import annotations

import os
from pathlib import Path

from mch_runtime.options import AskOptions, ExplainOptions, Message
from sage_cli.history import Log
from sage_cli.past import past_of
from tests.sage_cli.fake_engine import FakeOpener
from tests.sage_cli.fake_explainer import ExplainerOpener
from tests.sage_cli.fake_sage import SCRIPTS
from tests.sage_cli.runner import run


def asked(*args: str, script: str = "pico") -> AskOptions:
    """The options that the engine was asked with."""
    opener = FakeOpener(SCRIPTS[script])
    assert run("-m", "m", *args, engine=opener).code == 0
    return opener.engines[0].asked[0][1]


def ids() -> list[str]:
    """Of the log, oldest first."""
    return [line.split("\t")[0] for line in run("logs").out.splitlines()][::-1]


def test_a_conversation_goes_on() -> None:
    assert asked("one", "-s", "Be kind.").past == ()
    second = asked("-c", "two")
    assert second.system == "Be kind."
    assert [message.role for message in second.past] == ["user", "assistant"]
    assert second.past[0].content == "one"
    assert second.past[1].content.endswith("Answer: 27")
    asked("elsewhere")
    first, _, other = ids()
    assert [m.content for m in asked("--cid", first, "three").past[::2]] == ["one", "two"]
    assert [m.content for m in asked("--cid", other[-7:], "four").past[::2]] == ["elsewhere"]
    assert [m.content for m in asked("-c", "five").past[::2]] == ["elsewhere", "four"]
    assert asked("-c", "-s", "Be brief.", "six").system == "Be brief."
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        assert [turn.question for turn in log.turns(first)] == ["one", "two", "three"]


def test_what_cannot_go_on() -> None:
    assert run("-m", "m", "-c", "q").code == 66
    asked("one")
    assert run("-m", "m", "--cid", "zzzzzz", "q").code == 66
    assert run("-m", "m", "-c", "--cid", ids()[0], "q").code == 2


def test_marked_reasoning_and_lost_questions_are_no_past() -> None:
    asked("one", script="thinking")
    [first] = ids()
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        log.begin("never answered", "m", conversation=first)
        log.withdraw(log.begin("withdrawn", "m", conversation=first))
        past = past_of(log, first)
    assert past.messages[0] == Message(role="user", content="one")
    assert past.messages[1].content.startswith("They have 27 apples")
    assert len(past.messages) == 2


def test_an_explanation_knows_what_was_said_before() -> None:
    asked("one", "-s", "Be kind.")
    asked("-c", "two")
    first, second = ids()
    opener = ExplainerOpener()
    for identifier in (first, second):
        assert run("explain", "-m", "m", "--no-stdin", identifier, engine=opener).code == 0  # type: ignore[arg-type]
    given: list[ExplainOptions] = [engine.options_given[0] for engine in opener.engines]  # type: ignore[attr-defined]
    assert [(options.system, len(options.past)) for options in given] == [("Be kind.", 0), ("Be kind.", 2)]
    again = run("explain", "-m", "m", "--no-stdin", second, engine=opener)  # type: ignore[arg-type]
    assert again.err.startswith("note: as measured at")
    assert len(opener.engines) == 2
