"""Completion, by its own function and through real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sage_cli.commands import SageGroup
from sage_cli.completion import SCRIPTS, _bash_words, complete
from sage_cli.history import Log
from sage_cli.root import app
from tests.sage_cli.runner import ROOT, run, spawn
from tests.sage_cli.test_process import HEAVY

Env = dict[str, str]


def words(*line: str) -> list[str]:
    """What may stand for the last of the words."""
    root = typer.main.get_command(app)
    assert isinstance(root, SageGroup)
    return [c.word for c in complete(root, line[:-1], line[-1], os.environ).words]


def files(*line: str) -> bool:
    root = typer.main.get_command(app)
    assert isinstance(root, SageGroup)
    return complete(root, line[:-1], line[-1], os.environ).files


def test_commands_and_flags() -> None:
    assert {"ask", "explain", "logs", "templates"} <= set(words(""))
    assert words("lo") == ["logs"]
    assert words("logs", "sea") == ["search"]
    assert words("logs", "show", "--js") == ["--json"]
    assert "--model" in words("--mo")  # ask may be left out
    assert "--json" in words("logs", "--")  # so may list
    assert words("logs", "-n", "3", "--js") == ["--json"]
    assert words("ask", "--", "--mo") == []


def test_values() -> None:
    assert words("--color", "a") == ["auto", "always"]
    assert words("ask", "--color", "") == ["auto", "always", "never"]
    assert words("--color=al") == ["--color=always"]
    assert words("completion", "z") == ["zsh"]
    assert words("-n", "") == []
    assert words("explain", "--format", "m") == ["md"]


def test_models_templates_and_ids() -> None:
    assert words("-m", "") == ["sage-pico", "m"]
    assert files("-m", "")
    run("ask", "-s", "x", "--save", "socrates")
    assert words("-t", "soc") == ["socrates", "socratic"]
    assert words("templates", "show", "socra") == ["socrates", "socratic"]
    assert words("explain", "") == []
    with Log(Path(os.environ["SAGE_LOG"])) as log:
        first, second = log.begin("one", "m"), log.begin("two", "m")
    for line in (("explain", ""), ("logs", "show", ""), ("logs", "rm", ""), ("logs", "rm", first, "")):
        assert words(*line) == [second, first]
    assert words("logs", "list", "--cid", first) == [first]
    assert words("logs", "show", first, "") == []
    assert files("explain", "")
    assert not files("logs", "show", "")
    assert files("convert", "")


def test_a_log_is_only_read(tmp_path: Path) -> None:
    path = Path(os.environ["SAGE_LOG"])
    assert words("logs", "show", "") == []
    assert not path.exists()
    path.write_bytes(b"not a log")
    assert words("logs", "show", "") == []
    assert path.read_bytes() == b"not a log"


@pytest.mark.parametrize(
    ("line", "typed", "expected"),
    [
        ("sage lo", "lo", ["lo"]),
        ("sage ", "", [""]),
        ("sage logs ", "", ["logs", ""]),
        ("sage ask 'two words' -", "-", ["ask", "two words", "-"]),
        ('sage ask "open quo', "quo", ["ask", "open quo"]),
        ("sage ask it's", "it's", ["ask", "its"]),
        ("sage -m user/repo:Q", "Q", ["-m", "user/repo:Q"]),
        ("", "", [""]),
    ],
)
def test_words_of_bash(line: str, typed: str, expected: list[str]) -> None:
    assert _bash_words([line, typed]) == (expected, typed)


def test_nothing_heavy_is_imported(env: Env) -> None:
    code = (
        "import sys; from sage_cli.app import main; code = main(sys.argv[1:]); "
        f"loaded = [m for m in {HEAVY} if m in sys.modules]; "
        "sys.exit(repr(loaded) if loaded else 0)"
    )
    for line in ("sage -m ", "sage -t ", "sage explain "):
        done = spawn([sys.executable, "-c", code, line, ""], env | {"_SAGE_COMPLETE": "bash"})
        assert (done.returncode, done.stderr) == (0, b"")


def test_an_unknown_shell_gets_nothing(env: Env) -> None:
    done = spawn([sys.executable, "-m", "sage_cli", "lo"], env | {"_SAGE_COMPLETE": "tcsh"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.fixture
def path_with_sage(tmp_path: Path, env: Env) -> Env:
    """An environment in which ``sage`` is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "sage"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m sage_cli "$@"\n')
    program.chmod(0o755)
    return env | {"PATH": f"{folder}:{env['PATH']}", "HOME": str(tmp_path)}


BASH = """
source <(sage completion bash)
try() { COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; _sage_completion sage "$2"; echo "${COMPREPLY[*]}" | tr '\\n' ' '; echo; }
try "sage lo" lo
try "sage --color=al" al
try "sage completion " ""
try "sage convert /et" /et
complete -p sage
"""


@pytest.mark.slow
def test_in_bash(path_with_sage: Env) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    done = spawn([bash, "--norc", "-c", BASH], path_with_sage)
    lines = [line.rstrip() for line in done.stdout.decode().splitlines()]
    assert lines[:3] == ["logs", "always", "bash zsh fish"]
    assert "/etc" in lines[3].split()
    assert lines[4] == "complete -F _sage_completion sage"


@pytest.mark.slow
def test_in_fish(path_with_sage: Env) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("fish is not installed")
    script = 'sage completion fish | source; complete -C "sage lo"; complete -C "sage completion z"'
    done = spawn([fish, "--no-config", "-c", script], path_with_sage)
    assert [line.split("\t")[0] for line in done.stdout.decode().splitlines()] == ["logs", "zsh"]


def test_scripts_are_what_the_shells_can_read(tmp_path: Path) -> None:
    for name, script in SCRIPTS.items():
        assert run("completion", name).out == script
        program = shutil.which(name)
        if program is not None:
            file = tmp_path / name
            file.write_text(script)
            assert subprocess.run([program, "-n", str(file)], check=False).returncode == 0
    assert run("completion", "tcsh").code == 2
