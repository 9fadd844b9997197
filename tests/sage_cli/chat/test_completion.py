from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from sage_cli.chat.completion import SlashCompleter
from sage_cli.chat.helping import TABLE
from sage_cli.completion import Candidate


def offered(text: str) -> list[str]:
    models = [Candidate("qwen", "downloaded"), Candidate("pico")]
    completer = SlashCompleter(TABLE, models=lambda: models, steps=lambda: 3)
    found = completer.get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + choice.start_position] + choice.text for choice in found]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/sta", ["/stats"]),
        ("/ste", ["/steps"]),
        ("/set rea", ["/set reasoning"]),
        ("/set reasoning ", ["/set reasoning show", "/set reasoning fold"]),
        ("/set parameter top", ["/set parameter top_k", "/set parameter top_p"]),
        ("/mode v", ["/mode vote"]),
        ("/why ", ["/why 1", "/why 2", "/why 3"]),
        ("/alt 1 ", []),
        ("/load qw", ["/load qwen"]),
        ("/? exp", ["/? export"]),
        ("/nope x", []),
        ("a question /sta", []),
        ("/stats and\nmore", []),
    ],
)
def test_what_is_offered(typed: str, expected: list[str]) -> None:
    assert offered(typed) == expected


def test_files(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    (here / "notes.txt").touch()
    (here / ".hidden").touch()
    assert offered(f"/read {here}/n") == [f"/read {here}/notes.txt"]
    assert offered(f"/read {here}/") == [f"/read {here}/folder/", f"/read {here}/notes.txt"]
    assert offered(f"/read {here}/none/x") == []
    (here / "my notes.txt").touch()
    assert offered(f"/read {here}/my") == [f"/read {here}/my\\ notes.txt"]
    assert offered(f"/read {here}/my\\ n") == [f"/read {here}/my\\ notes.txt"]
    assert offered(f"/export md {here}/no") == [f"/export md {here}/notes.txt"]
    assert offered(f"/export pdf {here}/no") == []
