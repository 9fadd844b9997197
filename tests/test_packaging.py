"""What an installation brings along."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"sage_cli", "convert", "quant", "mch_runtime", "prompts"}


def locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / name).read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_no_locked_dependency_ships_a_name_of_ours(lock: str) -> None:
    for distribution in locked(lock):
        try:
            shipped = files(distribution) or []
        except PackageNotFoundError:
            continue
        assert not {path.parts[0].removesuffix(".py") for path in shipped} & OURS, distribution


def test_the_locks_agree() -> None:
    runtime, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert {name: development.get(name) for name in runtime} == runtime
    assert not {"torch", "transformers"} & development.keys()


@pytest.mark.parametrize("package", sorted(OURS))
def test_importing_does_nothing_heavy(package: str) -> None:
    heavy = {"llama_cpp", "numpy", "gguf", "jinja2", "safetensors", "torch", "rich"}
    script = f"import sys, {package}; print(*sorted({heavy!r} & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (child.returncode, child.stdout.strip()) == (0, ""), child.stderr
