"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shown_chats import CHATS, held, shown

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


NUMBER = re.compile(r"(?P<share>0\.\d\d)|(?P<percent>\d+) % sure|\d+ tokens/s")


def sessions() -> list[tuple[str, list[str]]]:
    """The commands of the first console block with the lines they print."""
    block = README.split("```console\n", 1)[1].split("```", 1)[0]
    parts = [part.splitlines() for part in block.split("$ ")[1:]]
    return [(part[0], [line for line in part[1:] if line]) for part in parts]


def words(lines: list[str]) -> list[str]:
    """The lines without alignment, marks and the numbers that differ from machine to machine."""
    return [" ".join(NUMBER.sub("N", re.sub("[●◐○]", "", line)).split()) for line in lines]


def confidences(lines: list[str]) -> list[float]:
    found = [match for line in lines for match in NUMBER.finditer(line)]
    return [float(m["share"] or int(m["percent"]) / 100) for m in found if m["share"] or m["percent"]]


@pytest.mark.parametrize(("command", "expected"), sessions())
def test_the_sessions_are_real(command: str, expected: list[str], tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program == "sage"
    child = subprocess.run(
        [sys.executable, "-m", "sage_cli", *arguments, "--no-log", "--no-stdin"],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
    )
    printed = [line for line in child.stderr.splitlines() if line]
    assert child.returncode == 0
    assert words(printed) == words(expected)
    # Processors round differently, so the last digit may.
    assert confidences(printed) == pytest.approx(confidences(expected), abs=0.05)
    assert f"Answer: {child.stdout.strip()}" in " ".join(words(expected))


DECIMAL = re.compile(r"-?\d*\.\d+|\d+(?= %)")


@pytest.mark.parametrize("page", CHATS)
def test_the_conversations_are_real(page: str, tmp_path: Path) -> None:
    expected, found = shown(page), held(CHATS[page], tmp_path)
    outlines = [" ".join(DECIMAL.sub("N", re.sub("[●◐○]", "", text)).split()) for text in (expected, found)]
    assert outlines[1] == outlines[0], "run: make chats"
    measured = [[float(number) for number in DECIMAL.findall(text)] for text in (expected, found)]
    assert measured[1] == pytest.approx(measured[0], abs=0.05, rel=0.1)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (Path(__file__).parent.parent / link).exists()
