from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sage_cli.manpages import pages, write
from tests.sage_cli.runner import ROOT

MAN = ROOT / "docs" / "man"


def test_the_pages_in_docs_are_what_help_says() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in MAN.iterdir()} == pages(), "run: make man"


def test_every_command_has_its_page(tmp_path: Path) -> None:
    (tmp_path / "sage-gone.1").write_text("")
    write(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        "sage.1",
        "sage-ask.1",
        "sage-explain.1",
        "sage-logs.1",
        "sage-templates.1",
        "sage-bench.1",
    } <= names
    assert "sage-gone.1" not in names
    assert ".SH SAGE LOGS SHOW" in (tmp_path / "sage-logs.1").read_text()
    assert "\\fB\\-\\-fail\\-under P\\fR" in (tmp_path / "sage-ask.1").read_text()


@pytest.mark.parametrize("page", ["sage.1", "sage-ask.1", "sage-logs.1"])
def test_man_can_show_it(page: str, tmp_path: Path) -> None:
    man = shutil.which("man")
    if man is None:
        pytest.skip("man is not installed")
    write(tmp_path)
    done = subprocess.run(
        [man, "--warnings", "-E", "UTF-8", "-l", str(tmp_path / page)],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
    )
    assert done.stderr == b""
    text = re.sub(".\b", "", done.stdout.decode())
    assert text.startswith(page.upper().replace(".1", "(1)"))
    assert "SYNOPSIS" in text


def test_text_cannot_become_a_command() -> None:
    for text in pages().values():
        for line in text.splitlines():
            assert not line.startswith("'")
            assert not line.startswith(".") or re.match(r"\.(TH|SH|SS|PP|TP|nf|fi|BR)\b", line), line
