"""Slash commands, driven through a pipe: no terminal, no escape codes, answers on standard output alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mch_runtime.errors import NativeError
from mch_runtime.explanation import Alternative, Decision, Explanation
from sage_cli.chat.helping import TABLE
from sage_cli.history import Log
from tests.explanation_samples import right
from tests.sage_cli.chat.fake_chat import CHAT_SCRIPTS, ChatEngine, ChatOpener
from tests.sage_cli.fake_engine import Script
from tests.sage_cli.runner import Result, run


def chat(*lines: str, opener: ChatOpener | None = None, flags: tuple[str, ...] = ()) -> Result:
    typed = "".join(f"{line}\n" for line in lines).encode()
    return run("chat", "-m", "m", *flags, engine=opener or ChatOpener(), stdin=typed)  # type: ignore[arg-type]


def engine(opener: ChatOpener) -> ChatEngine:
    return opener.engines[-1]  # type: ignore[return-value]


def test_a_pipe_is_asked_line_by_line() -> None:
    opener = ChatOpener()
    seen = chat("first", "", "second", opener=opener)
    assert (seen.code, seen.out) == (0, "27\n27\n")
    assert [question for question, _ in engine(opener).asked] == ["first", "second"]
    past = engine(opener).asked[1][1].past
    assert past[0].content == "first"
    assert past[1].token_ids
    assert "\x1b" not in seen.err
    assert "97 % sure · fast · 812 tokens/s" in seen.err


@pytest.mark.parametrize("word", ["exit", "quit", "/bye", "/exit", "/quit"])
def test_words_that_leave(word: str) -> None:
    opener = ChatOpener()
    assert chat(word, "not asked", opener=opener).code == 0
    assert engine(opener).asked == []


def test_every_command_has_help_and_is_found() -> None:
    names = list(TABLE.names())
    assert len(names) == len(set(names))
    wanted = "set show load save clear bye ? regen undo read context stats system why steps alt premises inverse votes mode export"
    assert set(wanted.split()) <= set(names)
    page = chat("/?").out
    for name in names:
        assert f"/{name}" in page
    assert "/alt [STEP [K]]" in chat("/? alt").out


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/stpes", "did you mean /steps?"),
        ("/regne", "did you mean /regen?"),
        ("/set reasonin fold", "did you mean reasoning?"),
        ("/set parameter temprature 1", "did you mean temperature?"),
        ("/export pdf", "one of md, html, json"),
        ("/mode slow", "one of"),
        ("/undo", "nothing was asked yet"),
        ("/why", "nothing was asked yet"),
        ("/set parameter temperature hot", "not a number"),
        ("/set parameter num_ctx 9", "--ctx-size"),
    ],
)
def test_mistakes_are_one_sentence_and_a_hint(typed: str, told: str) -> None:
    seen = chat(typed, "q")
    assert seen.code != 0
    assert told in seen.err
    assert "Traceback" not in seen.err
    assert seen.out == "27\n", "and the conversation goes on"


def test_the_beginning_of_a_name_will_do_and_a_path_is_no_command() -> None:
    opener = ChatOpener()
    chat("what is /etc/passwd", "/etc/passwd is what?", opener=opener)
    assert len(engine(opener).asked) == 2
    assert "4 | 2" not in chat("q", "/stat").out


def test_settings_reach_the_engine() -> None:
    opener = ChatOpener()
    chat(
        "/set parameter temperature 0.5", "/set parameter seed 7", "/set parameter num_predict 9",
        "/system Be brief.", "/mode vote 4", "q", opener=opener,
    )  # fmt: skip
    _, options = engine(opener).asked[0]
    assert options.sampling.temperature == 0.5
    assert (options.sampling.seed, options.max_tokens, options.system) == (7, 9, "Be brief.")
    assert (options.effort.mode, options.effort.votes) == ("vote", 4)


def test_again_back_and_anew() -> None:
    opener = ChatOpener()
    seen = chat("one", "/regen", "two", "/undo", "three", "/clear", "four", opener=opener)
    asked = engine(opener).asked
    assert [question for question, _ in asked] == ["one", "one", "two", "three", "four"]
    assert [len(options.past) for _, options in asked] == [0, 0, 2, 2, 0]
    assert asked[1][1].sampling.temperature > 0, "greedily the answer would be the same"
    assert asked[2][1].sampling.temperature == 0
    assert "taken back: two" in seen.err


def test_what_does_not_fit_is_told_before_and_can_be_dropped() -> None:
    opener = ChatOpener(n_ctx=60)
    seen = chat("one", "two", "three", "/context", "/forget 1", "three", opener=opener)
    assert [question for question, _ in engine(opener).asked] == ["one", "two", "three"]
    assert "/forget 1" in seen.err
    assert "waiting" in seen.out


def test_why_and_its_kin() -> None:
    opener = ChatOpener()
    seen = chat("q", "/why", "/why 1", "/premises 2", "/inverse", "/steps", opener=opener)
    assert seen.code == 0, seen.err
    assert "STEP" in seen.out
    assert "It rests on" in seen.out
    assert "nats per token" in seen.out
    assert len(engine(opener).explained) == 2, "once without alternatives, once with"
    assert "no step 9" in chat("q", "/why 9").err
    assert "one chain" in chat("q", "/votes").err


def test_what_was_measured_is_explained_later_without_a_model() -> None:
    assert chat("first", "second", "/why 1").code == 0
    broken = Script(load_error=NativeError("there is no model"))
    later = run("explain", "-m", "m", "--no-stdin", engine=ChatOpener(broken))  # type: ignore[arg-type]
    assert later.code == 0
    assert later.err.startswith("note: as measured at")
    run("logs", "rm", "--all", "--yes")
    chat("first", "/why", flags=("--no-log",))
    assert run("logs").out == ""


def test_an_explanation_later_knows_what_the_model_was_shown() -> None:
    chat("one", "two", "/regen", "/forget 1", "three", "/context single", "four", "/context full", "five")
    ids = [line.split("\t")[0] for line in run("logs").out.splitlines()][::-1]
    shown = []
    for identifier in ids:
        opener = ChatOpener()
        assert run("explain", "-m", "m", "--no-stdin", identifier, engine=opener).code == 0  # type: ignore[arg-type]
        [given] = engine(opener).options_given
        shown.append([message.content for message in given.past[::2]])
    assert shown == [[], ["one"], ["one"], ["two"], [], ["two", "three", "four"]]


def with_roads() -> Explanation:
    sample = right()
    road = Alternative(
        text=" 4", token_id=44, probability=0.2, outcome=None, changes=True, why_not="It is less likely."
    )
    decision = Decision(step=0, token=3, text=" 3", probability=0.7, alternatives=(road,))
    from dataclasses import replace

    trace = replace(sample.trace, token_ids=(10, 11, 12, 13, 14))
    return replace(sample, trace=trace, decisions=(decision,))


def test_the_road_not_taken_begins_with_its_tokens() -> None:
    class Opener(ChatOpener):
        pass

    opener = Opener(sample=with_roads)
    seen = chat("q", "/alt", "/alt 1", "/alt 1 2", "/alt 2", opener=opener)
    asked = engine(opener).asked
    assert len(asked) == 2
    assert len(asked[1][1].begin) == 4
    assert asked[1][1].begin[-1] == 44
    assert asked[1][1].past == ()
    assert "/alt 1 1" in seen.out
    assert "1 other road" in seen.err


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Grüße\n")
    (tmp_path / "a name.txt").write_text("Text.")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    opener = ChatOpener()
    seen = chat(
        f"/read {tmp_path}/notes.txt What?",
        f"/read {tmp_path}/a\\ name.txt",
        f"/read '{tmp_path}/a name.txt' Why?",
        f"/read {tmp_path}/none",
        f"/read {tmp_path}/binary",
        opener=opener,
    )
    assert [question for question, _ in engine(opener).asked] == [
        "Grüße\n\nWhat?",
        "Text.",
        "Text.\n\nWhy?",
    ]
    assert "no such file" in seen.err
    assert "not UTF-8" in seen.err


def test_saved_and_loaded_without_its_tokens(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    chat("/system S", "one", "two", f"/save {path}")
    assert json.loads(path.read_text())["schema"] == "sage.chat/1"
    opener = ChatOpener()
    chat(f"/load {path}", "three", opener=opener)
    _, options = engine(opener).asked[0]
    assert [message.content for message in options.past][::2] == ["one", "two"]
    assert options.system == "S"
    assert all(message.token_ids == () for message in options.past)
    path.write_text('{"schema": "sage.chat/1", "turns": [3]}')
    assert chat(f"/load {path}").code == 65


def test_exports(tmp_path: Path) -> None:
    seen = chat("<b>q</b> `x`", "/export md", f"/export html {tmp_path}/t.html", "/export json")
    assert seen.code == 0, seen.err
    assert "```text\n<b>q</b> `x`\n```" in seen.out
    assert "&lt;b&gt;q&lt;/b&gt;" in (tmp_path / "t.html").read_text()
    assert json.loads(seen.out.splitlines()[-1])["turns"]


def test_nothing_but_a_conversation_is_replaced(tmp_path: Path) -> None:
    for name in ("notes.md", "page.html", "package.json", "plain"):
        (tmp_path / name).write_text("mine")
    ours = [("md", "talk.md"), ("html", "talk.html"), ("json", "talk")]
    seen = chat(
        "q", f"/save {tmp_path}/package.json", f"/export md {tmp_path}/notes.md",
        f"/export html {tmp_path}/page.html", f"/save {tmp_path}/plain",
        *(f"/export {form} {tmp_path}/{name}" for form, name in ours * 2),
    )  # fmt: skip
    assert seen.err.count("is there already and is no conversation") == 4
    assert seen.err.count("written to") == 6
    assert {(tmp_path / name).read_text() for name in ("notes.md", "page.html", "plain")} == {"mine"}


def test_quotes_behind_a_command() -> None:
    opener = ChatOpener()
    chat('/system """Be brief.', 'Be kind."""', "q", '/set system """Be quick."""', "q", opener=opener)
    assert [options.system for _, options in engine(opener).asked] == ["Be brief.\nBe kind.", "Be quick."]


def test_landmarks_tell_what_is_in_the_cache() -> None:
    seen = chat("/context landmark", "q", "/context")
    assert "96 of 400 tokens in the cache, 28 said" in seen.err
    assert "96 of 400 tokens in the cache, 28 said, policy landmark" in seen.out


def test_turns_are_kept_as_one_conversation(tmp_path: Path) -> None:
    chat("one", "two", "/undo", "three", "/clear", "four")
    with Log(tmp_path / "logs.db", named=True) as log:
        latest = log.latest(10)
        assert [entry.question for entry in latest] == ["four", "three", "two", "one"]
        first = latest[-1].conversation
        assert [entry.question for entry in log.turns(first)] == ["one", "three"]
        assert latest[0].conversation != first
    opener = ChatOpener()
    chat("five", opener=opener, flags=("-c",))
    assert [m.content for m in engine(opener).asked[0][1].past][::2] == ["four"]
    opener = ChatOpener()
    chat("six", opener=opener, flags=("--cid", first))
    assert [m.content for m in engine(opener).asked[0][1].past][::2] == ["one", "three"]


def test_no_log(tmp_path: Path) -> None:
    chat("one", flags=("--no-log",))
    assert not (tmp_path / "logs.db").exists()


def test_folded_reasoning_is_a_line() -> None:
    seen = chat("q", flags=("--fold",))
    assert seen.out == "27\n"
    assert "reasoning: 2 steps, the weakest is 2 at ◐ 0.74 · /steps" in seen.err
    assert "Step 1" not in seen.err


def test_input_that_is_no_text() -> None:
    assert run("chat", "-m", "m", engine=ChatOpener(), stdin=b"\xff\n").code == 65  # type: ignore[arg-type]


def test_an_answer_that_fails_leaves_the_conversation() -> None:
    seen = chat("q", "/why", "q", opener=ChatOpener(CHAT_SCRIPTS["silent"]))
    assert "no answer" in seen.err
    assert "nothing to explain" in seen.err


def test_a_template_is_put_around_every_question() -> None:
    saved = run("ask", "Text: $input", "-s", "In $language.", "-o", "temperature=0.5", "--save", "fr")
    assert saved.code == 0
    opener = ChatOpener()
    flags = ("-t", "fr", "-p", "language", "French")
    assert chat("one", "two", opener=opener, flags=flags).code == 0
    asked = engine(opener).asked
    assert [question for question, _ in asked] == ["Text: one", "Text: two"]
    assert {options.system for _, options in asked} == {"In French."}
    assert {options.sampling.temperature for _, options in asked} == {0.5}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-t", "joke"), "has no place for a question"),
        (("-t", "inside"), "puts the question into the system prompt"),
        (("-t", "brief", "-p", "x=1"), "has no variable x"),
        (("-c", "--cid", "1"), "contradict each other"),
    ],
)
def test_templates_and_flags_that_a_conversation_refuses(flags: tuple[str, ...], said: str) -> None:
    run("ask", "Tell a joke.", "--save", "joke")
    run("ask", "-s", "Answer $input", "--save", "inside")
    seen = chat("q", flags=flags)
    assert (seen.code, seen.out) == (2, "")
    assert said in seen.err


def test_flags_of_a_conversation_are_kept_as_a_template() -> None:
    assert chat(flags=("-s", "Be kind.", "-n", "9", "--save", "kind")).code == 0
    opener = ChatOpener()
    chat("q", opener=opener, flags=("-t", "kind"))
    _, options = engine(opener).asked[0]
    assert (options.system, options.max_tokens) == ("Be kind.", 9)


def test_a_system_prompt_comes_before_that_of_the_log() -> None:
    chat("one", flags=("-s", "Be kind."))
    for flags, system in (((), "Be kind."), (("-s", "Be brief."), "Be brief.")):
        opener = ChatOpener()
        chat("two", opener=opener, flags=("-c", *flags))
        assert engine(opener).asked[0][1].system == system
    assert chat("q", flags=("--cid", "zzzz")).code == 66
