from __future__ import annotations

import os
from pathlib import Path

import pytest

from prompts.named import shipped
from tests.sage_cli.fake_engine import FakeOpener
from tests.sage_cli.runner import run


def asked(*args: str, stdin: bytes = b"") -> tuple[str, str, float, int | None]:
    """What the engine was asked: question, system prompt, temperature, most tokens."""
    opener = FakeOpener()
    result = run("-m", "m", *args, engine=opener, stdin=stdin)
    assert result.code == 0, result.err
    [(question, options)] = opener.engines[0].asked
    return question, options.system, options.sampling.temperature, options.max_tokens


@pytest.fixture
def folder() -> Path:
    return Path(os.environ["SAGE_CONFIG"]).parent / "templates"


def test_a_shipped_template() -> None:
    assert asked("-t", "brief", "Why?") == ("Why?", shipped()["brief"].system, 0.0, None)
    assert asked("-t", "standard", "Why?") == asked("Why?")


def test_saving_and_using(folder: Path) -> None:
    saved = run(
        "ask",
        "-s",
        "Translate into $language.",
        "Text: $input",
        "-o",
        "temperature",
        "0.5",
        "-n",
        "200",
        "--save",
        "fr",
    )
    assert saved.code == 0
    assert (folder / "fr.toml").exists()
    assert asked("-t", "fr", "-p", "language", "French", "Hi") == (
        "Text: Hi",
        "Translate into French.",
        0.5,
        200,
    )
    assert asked("-t", "fr", "-p", "language=French", stdin=b"Hi") == (
        "Text: Hi",
        "Translate into French.",
        0.5,
        200,
    )


def test_flags_come_before_the_template(folder: Path) -> None:
    run("ask", "-s", "Be kind.", "-o", "temperature", "0.5", "-n", "200", "--save", "kind")
    found = asked("-t", "kind", "-s", "Be brief.", "-o", "temperature=1", "-n", "300", "Hi")
    assert found == ("Hi", "Be brief.", 1.0, 300)


def test_the_template_comes_before_the_settings(folder: Path) -> None:
    run("ask", "-s", "Be kind.", "-n", "200", "--save", "kind")
    with Path(os.environ["SAGE_CONFIG"]).open("r+") as config:
        text = config.read()
        config.seek(0)
        config.write(f'system = "From the file."\nmax_tokens = 700\n{text}')
    assert asked("Hi") == ("Hi", "From the file.", 0.0, 700)
    assert asked("-t", "kind", "Hi") == ("Hi", "Be kind.", 0.0, 200)
    assert asked("-t", "standard", "Hi") == ("Hi", "From the file.", 0.0, 700)


def test_a_model_of_the_template(folder: Path) -> None:
    run("ask", "-m", "m", "--save", "mine")
    opener = FakeOpener()
    assert run("-t", "mine", "Hi", engine=opener).code == 0
    assert opener.engines[0].options.model == Path("/models/m.gguf")


def test_a_template_without_a_question(folder: Path) -> None:
    run("ask", "Tell a joke.", "--save", "joke")
    assert asked("-t", "joke")[0] == "Tell a joke."
    refused = run("-m", "m", "-t", "joke", "Why?")
    assert (refused.code, refused.err.splitlines()[0]) == (
        2,
        "sage: the template joke has no place for a question",
    )


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["-t", "breif", "q"], 66, "there is no template breif"),
        (["-t", "../x", "q"], 2, "is no name of a template"),
        (["-t", "brief", "-p", "x=1", "q"], 2, "has no variable x"),
        (["-p", "x=1", "q"], 2, "-p is for variables of a template"),
        (["-t", "brief"], 2, "the question is empty"),
        (["ask", "costs $5", "--save", "x"], 2, "prompt has a $ without a name"),
        (["ask", "x", "--save", "a/b"], 2, "is no name of a template"),
    ],
)
def test_what_is_refused(args: list[str], code: int, said: str, folder: Path) -> None:
    result = run(*args)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert not folder.exists()


def test_a_template_is_not_overwritten(folder: Path) -> None:
    assert run("ask", "one", "--save", "x").code == 0
    again = run("ask", "two", "--save", "x")
    assert again.code == 2
    assert "there is a template x already" in again.err
    assert "one" in (folder / "x.toml").read_text()


def test_listing_and_showing(folder: Path) -> None:
    assert [line.split("\t")[:2] for line in run("templates").out.splitlines()] == [
        [n, "sage"] for n in shipped()
    ]
    run("ask", "-s", "Mine.", "--save", "brief")
    (folder / "broken.toml").write_text("system = 3")
    rows = [line.split("\t") for line in run("templates", "list").out.splitlines()]
    assert [row[:2] for row in rows[:2]] == [["brief", "yours"], ["broken", "yours"]]
    assert "system must be text" in rows[1][2]
    assert run("templates", "show", "brief").out.startswith('system = "Mine."')
    assert run("templates", "show", "socratic").out.startswith("description = ")
    assert run("templates", "path").out == f"{folder}\n"
    assert run("-m", "m", "-t", "broken", "q").code == 65


def test_removing(folder: Path) -> None:
    run("ask", "x", "--save", "mine")
    assert run("templates", "rm", "mine").code == 0
    assert not list(folder.iterdir())
    for name in ("mine", "brief"):
        assert run("templates", "rm", name).code == 66


def editor(tmp_path: Path, script: str) -> str:
    path = tmp_path / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return str(path)


def test_editing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", editor(tmp_path, """echo 'system = "New."' > "$1" """))
    assert run("templates", "edit", "brief").code == 0
    assert (folder / "brief.toml").read_text() == 'system = "New."\n'
    monkeypatch.setenv("EDITOR", editor(tmp_path, 'echo "system = " > "$1"'))
    refused = run("templates", "edit", "brief")
    assert refused.code == 65
    assert (folder / "brief.toml").read_text() == 'system = "New."\n'
    monkeypatch.setenv("EDITOR", editor(tmp_path, "exit 3"))
    assert run("templates", "edit", "brief").code == 1
    monkeypatch.setenv("EDITOR", "true")
    assert run("templates", "edit", "unseen").err == "note: nothing was changed\n"
    assert not (folder / "unseen.toml").exists()
    monkeypatch.setenv("EDITOR", str(tmp_path / "nowhere"))
    assert run("templates", "edit", "brief").code == 66
