"""llama.cpp's own converter, run from the source distribution of llama-cpp-python.

The environment variable LLAMA_CPP_SOURCE names that distribution (.tar.gz), or a folder of llama.cpp:

    pip download --no-binary llama-cpp-python --no-deps llama-cpp-python==0.3.36
    pip install sentencepiece
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

VARIABLE = "LLAMA_CPP_SOURCE"
SCRIPT = "convert_hf_to_gguf.py"
PARTS = (SCRIPT, "conversion/", "gguf-py/gguf/", "models/ggml-vocab-")

# Converts many checkpoints in one process, for importing torch and transformers takes longer than all of
# them. The small vocabularies have no hash that llama.cpp's converter knows, so it is told their names.
CHILD = """
import json, runpy, sys, traceback
folder, jobs = sys.argv[1], json.loads(sys.argv[2])
sys.path[:0] = [folder, folder + "/gguf-py"]
from conversion.base import TextModel
for job in jobs:
    TextModel.get_vocab_base_pre = lambda self, tokenizer: job["pre_tokenizer"]
    sys.argv = ["convert", job["source"], "--outfile", job["output"], "--outtype", job["outtype"]]
    try:
        runpy.run_path(folder + "/convert_hf_to_gguf.py", run_name="__main__")
    except Exception:
        traceback.print_exc()
"""


@dataclass(frozen=True)
class Job:
    """One checkpoint to convert; pre_tokenizer: what to call its rules."""

    source: str
    output: str
    outtype: str
    pre_tokenizer: str


def find_source(folder: Path) -> Path:
    """llama.cpp's sources, unpacked into ``folder`` if need be; skips the test if there are none."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"{VARIABLE} does not name llama-cpp-python's source distribution")
    pytest.importorskip("sentencepiece", reason="llama.cpp's converter needs the package sentencepiece")
    source = Path(named)
    if source.is_file():
        return _unpack(source, folder)
    if not (source / SCRIPT).exists():
        pytest.skip(f"{VARIABLE} names {source}, which has no {SCRIPT}")
    return source


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        for member in tar:
            _, found, name = member.name.partition("vendor/llama.cpp/")
            if found and member.isfile() and name.startswith(PARTS):
                member.name = name
                tar.extract(member, folder, filter="data")
    return folder


def run_reference(source: Path, jobs: list[Job]) -> str:
    """Convert with llama.cpp's converter; what it printed."""
    return run_child(source, CHILD, json.dumps([asdict(job) for job in jobs]))


def run_child(source: Path, code: str, argument: str) -> str:
    """Run ``code`` with llama.cpp's Python packages; what it printed."""
    command = [sys.executable, "-c", code, str(source), argument]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    return child.stdout + child.stderr
