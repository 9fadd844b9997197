"""llama.cpp's quantizer in a child process: it cannot be interrupted from within."""

from __future__ import annotations

import sys
from pathlib import Path

from mch_runtime.errors import NativeError, SageError
from mch_runtime.llama import abi
from mch_runtime.llama.child import run_child
from mch_runtime.llama.model import descriptor_path


def quantize(
    fd: int, source: Path, target: Path, *, type_name: str, threads: int, allow_requantize: bool
) -> None:
    """Quantize the open file ``fd``, which the guard has accepted, to ``target``. Raises NativeError."""
    result = run_child(
        "mch_runtime.llama.quantizer",
        descriptor_path(fd, source),
        str(target),
        type_name,
        str(threads),
        str(int(allow_requantize)),
        fd=fd,
    )
    if result.crash is not None:
        raise NativeError(f"llama.cpp's quantizer crashed ({result.crash.name}) {result.said}".strip())
    if result.code != 0:
        raise NativeError(result.said or f"llama.cpp's quantizer failed (code {result.code})")


def _main(source: str, target: str, type_name: str, threads: str, allow_requantize: str) -> int:
    try:
        abi.quantize(
            Path(source),
            Path(target),
            type_name=type_name,
            threads=int(threads),
            allow_requantize=allow_requantize == "1",
        )
    except SageError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
