from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_cli.commands import fold_options
from tests.sage_cli.fake_engine import QUESTION, FakeOpener
from tests.sage_cli.runner import Result, run

TAKING = {"-m", "--model", "-o", "--option", "-s"}


@pytest.mark.parametrize(
    ("words", "folded"),
    [
        (["-o", "top_k", "5", "q"], ["-o", "top_k=5", "q"]),
        (["-o", "top_k=5", "q"], ["-o", "top_k=5", "q"]),
        (["--option", "seed", "1", "-o", "top_p", ".5"], ["--option", "seed=1", "-o", "top_p=.5"]),
        (["-o", "temperature", "-1"], ["-o", "temperature=-1"]),
        (["-o", "top_k"], ["-o", "top_k"]),
        (["-o"], ["-o"]),
        (["-s", "-o", "q", "x"], ["-s", "-o", "q", "x"]),
        (["-m", "-o"], ["-m", "-o"]),
        (["--", "-o", "a", "b"], ["--", "-o", "a", "b"]),
    ],
)
def test_folding(words: list[str], folded: list[str]) -> None:
    assert fold_options(words, TAKING) == folded


@given(st.lists(st.sampled_from(["-o", "k=v", "k", "q", "-s", "--", "--json", "-m"]), max_size=8))
def test_folding_loses_no_word(words: list[str]) -> None:
    folded = fold_options(words, TAKING)
    assert "".join(folded).replace("=", "") == "".join(words).replace("=", "")


@pytest.mark.parametrize(
    "args",
    [
        ["ask", "-m", "m.gguf", QUESTION],
        ["-m", "m.gguf", QUESTION],
        [QUESTION, "-m", "m.gguf"],
        ["--no-log", QUESTION, "-m", "m.gguf"],
        ["-mm.gguf", "--", QUESTION],
    ],
)
def test_ask_may_be_left_out(args: list[str]) -> None:
    opener = FakeOpener()
    assert run(*args, engine=opener).code == 0
    assert opener.engines[0].asked[0][0] == QUESTION
    assert str(opener.engines[0].options.model) == "m.gguf"


def test_a_question_may_begin_with_a_minus() -> None:
    opener = FakeOpener()
    assert run("-m", "m", "--", "-5 plus 3?", engine=opener).code == 0
    assert opener.engines[0].asked[0][0] == "-5 plus 3?"


def test_a_command_asked_for_by_name_may_be_a_question() -> None:
    opener = FakeOpener()
    assert run("ask", "-m", "m", "logz", engine=opener).code == 0
    assert opener.engines[0].asked[0][0] == "logz"


def refused(result: Result, sentence: str, hint: str = "") -> None:
    """Wrong usage: nothing on standard output, one line and a hint on standard error."""
    assert result.code == 2
    assert result.out == ""
    assert result.err == f"sage: {sentence}\n" + (f"hint: {hint}\n" if hint else "")


@pytest.mark.parametrize(
    ("args", "sentence", "hint"),
    [
        (["-o", "temprature=1", "q"], "there is no option temprature", "did you mean temperature?"),
        (["-o", "temperature", "hot", "q"], "temperature 'hot' is not a number", ""),
        (["-o", "temperature=nan", "q"], "temperature 'nan' is not a number", ""),
        (["-o", "temperature", "-1", "q"], "temperature -1.0 is out of range", "0.0 to 10.0"),
        (["-o", "top_k=2.5", "q"], "top_k '2.5' is not a whole number", ""),
        (["-o", "top_k", "q"], "top_k 'q' is not a whole number", ""),
        (["-o", "q"], "there is no option q", None),
        (["q", "-o", "seed"], "option seed needs a value", "-o seed=…"),
        (["--seed", "1", "-o", "seed=2", "q"], "seed is given twice: 1 and 2", "give it once"),
        (["--seed", "x", "q"], "--seed 'x' is not a whole number", ""),
        (["--seed", "-1", "q"], "seed -1 is out of range", "0 to 4294967295"),
        (["-ngl", "-2", "q"], "--gpu-layers -2 is out of range", "-1 or more"),
        (["--ctx-size", "3", "q"], "--ctx-size 3 is out of range", "16 to 1048576 tokens"),
        (["--max-tokens", "0", "q"], "--max-tokens 0 is out of range", "1 or more"),
        (["--threads", "0", "q"], "--threads 0 is out of range", "1 to 512"),
        (["--fail-under", "7", "q"], "--fail-under 7 is not a probability", "0 to 1"),
        (["--fail-under", "nan", "q"], "--fail-under 'nan' is not a number", ""),
        (["--color", "red", "q"], "--color 'red' is not possible", "one of auto, always, never"),
        (["--head", "h", "--no-head", "q"], "--head and --no-head contradict each other", "give one of them"),
        (["--sed", "4", "q"], "there is no option --sed", "did you mean --seed?"),
        (["-Z", "q"], "there is no option -Z", "see sage ask --help"),
        (["--json=1", "q"], "--json takes no value", None),
        (["q", "-m"], "-m needs a value", None),
        (["-m", "", "q"], "--model is empty", "give the path of a file"),
        (["a", "b", "c"], "more than one question: b c", "put the question in quotes"),
        (["logz"], "there is no command logz; did you mean logs?", "to ask it as a question: sage ask logz"),
        (["-m", "m", "logs"], "the command logs comes before its options", "sage logs …"),
        (["logs", "lst"], "there is no command sage logs lst", "did you mean list?"),
        (["logs", "list", "x"], "too many arguments: x", "see sage logs list --help"),
        (["convert"], "FOLDER is missing", "see sage convert --help"),
        (["convert", "x"], "-o/--output is missing", "see sage convert --help"),
        (["ask", "a\x1b[2Jb", "c\nd"], "more than one question: c\\nd", "put the question in quotes"),
        ([""], "the question is empty", None),
        (["  \n"], "the question is empty", None),
        ([], "the question is empty", None),
    ],
)
def test_wrong_usage_is_one_clear_line(
    args: list[str], sentence: str, hint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_MODEL", "m")
    opener = FakeOpener()
    result = run(*args, engine=opener)
    if hint is None:
        assert result.code == 2
        assert result.err.startswith(f"sage: {sentence}\n")
    else:
        refused(result, sentence, hint)
    assert not opener.engines, "nothing is loaded for a command line that is wrong"
