"""Without llama-cpp-python: what does not run a model still works, and what does says how to install it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mch_runtime.errors import NotInstalledError
from tests.sage_cli.fake_engine import QUESTION
from tests.sage_cli.fake_explainer import ExplainerOpener
from tests.sage_cli.runner import run, spawn

Env = dict[str, str]
HIDDEN = (
    "import sys; sys.modules['llama_cpp'] = None; from sage_cli.app import main; sys.exit(main(sys.argv[1:]))"
)
BROKEN = """
import sys
from importlib.machinery import ModuleSpec

class Finder:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "llama_cpp" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise RuntimeError("Failed to load shared library 'libllama.so'")

sys.meta_path.insert(0, Finder())
from sage_cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def sage(env: Env, *args: str, code: str = HIDDEN) -> subprocess.CompletedProcess[bytes]:
    return spawn([sys.executable, "-c", code, *args], env)


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["explain", "--help"], ["logs"], ["templates"]])
def test_what_runs_no_model_works(args: list[str], env: Env) -> None:
    done = sage(env, *args)
    assert (done.returncode, done.stderr) == (0, b"")


def test_stored_answers_and_explanations_are_shown(env: Env) -> None:
    assert run("-m", "m", QUESTION).code == 0
    explained = run("explain", "-m", "m", "--no-stdin", engine=ExplainerOpener())  # type: ignore[arg-type]
    assert sage(env, "logs", "show").stdout.decode() == run("logs", "show").out
    again = sage(env, "explain", "-m", "m", "--no-stdin", "-q")
    assert (again.returncode, again.stdout.decode()) == (0, explained.out)


def test_what_was_measured_is_shown_if_it_is_less_than_was_asked_for(env: Env) -> None:
    assert run("-m", "m", QUESTION).code == 0
    assert sage(env, "explain", "-m", "m", "--no-stdin").returncode == NotInstalledError.exit_code
    run("explain", "-m", "m", "--no-stdin", "--no-alternatives", engine=ExplainerOpener())  # type: ignore[arg-type]
    done = sage(env, "explain", "-m", "m", "--no-stdin")
    assert (done.returncode, done.stderr.count(b"note: ")) == (0, 2)
    assert b"less than was asked for" in done.stderr
    assert done.stdout.startswith(b"The answer is")
    assert (
        sage(env, "explain", "-m", "m", "--no-stdin", "--no-head").returncode == NotInstalledError.exit_code
    )


@pytest.mark.parametrize(
    ("code", "said"), [(HIDDEN, b"is not installed"), (BROKEN, b"cannot be loaded: Failed to load")]
)
def test_asking_says_how_to_install_it(code: str, said: bytes, env: Env) -> None:
    done = sage(env, "--no-log", "--no-stdin", "q", code=code)
    first, hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (NotInstalledError.exit_code, b"")
    assert first.startswith(b"sage: llama-cpp-python")
    assert said in first
    assert hint.startswith(b"hint: pip install llama-cpp-python==")
