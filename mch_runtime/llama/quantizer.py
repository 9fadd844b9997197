"""llama.cpp's quantizer in a child process: it cannot be interrupted from within, and it may crash."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np

from mch_runtime.errors import NativeError, SageError
from mch_runtime.llama import abi
from mch_runtime.llama.child import run_child
from mch_runtime.llama.model import descriptor_path
from mch_runtime.session import Interrupt

_MODULE = "mch_runtime.llama.quantizer"
_REQUEST, _IMPORTANCE, _TYPES = "request.json", "importance.npz", "types.json"


def quantize(
    fd: int,
    source: Path,
    target: Path,
    settings: abi.QuantizeSettings,
    *,
    interrupt: Interrupt | None = None,
) -> None:
    """Quantize the open file ``fd``, which the guard has accepted, to ``target``.

    Raises NativeError, Interrupted, or OSError if the request cannot be handed over.
    """
    with _handed_over(settings) as folder:
        _run(fd, descriptor_path(fd, source), str(target), str(folder), interrupt=interrupt)


def planned_types(fd: int, source: Path, settings: abi.QuantizeSettings) -> Mapping[str, str]:
    """Tensor name to the type, like "q4_K", that ``quantize`` would give it. Raises as that does."""
    with _handed_over(settings) as folder:
        _run(fd, descriptor_path(fd, source), "", str(folder))
        types: dict[str, str] = json.loads((folder / _TYPES).read_text(encoding="utf-8"))
    return MappingProxyType(types)


@contextmanager
def _handed_over(settings: abi.QuantizeSettings) -> Iterator[Path]:
    """A folder with the settings in files: a matrix is too large for a command line."""
    with TemporaryDirectory(prefix="sage-quantize-") as name:
        folder = Path(name)
        plain = {
            "type_name": settings.type_name,
            "threads": settings.threads,
            "allow_requantize": settings.allow_requantize,
            "types": dict(settings.types),
            "notes": dict(settings.notes),
        }
        (folder / _REQUEST).write_text(json.dumps(plain), encoding="utf-8")
        if settings.importance is not None:
            with (folder / _IMPORTANCE).open("wb") as file:
                np.savez(file, allow_pickle=False, **settings.importance)
        yield folder


def _run(fd: int, *arguments: str, interrupt: Interrupt | None = None) -> None:
    result = run_child(_MODULE, *arguments, fd=fd, interrupt=interrupt)
    if result.crash is not None:
        raise NativeError(f"llama.cpp's quantizer crashed ({result.crash.name}) {result.said}".strip())
    if result.code != 0:
        raise NativeError(result.said or f"llama.cpp's quantizer failed (code {result.code})")


def _main(source: str, target: str, folder: str) -> int:
    """An empty target asks for the planned types."""
    settings = _read(Path(folder))
    try:
        if target:
            abi.quantize(Path(source), Path(target), settings)
        else:
            types = abi.planned_types(Path(source), settings)
            (Path(folder) / _TYPES).write_text(json.dumps(types), encoding="utf-8")
    except SageError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return 0


def _read(folder: Path) -> abi.QuantizeSettings:
    settings = abi.QuantizeSettings(**json.loads((folder / _REQUEST).read_text(encoding="utf-8")))
    if not (folder / _IMPORTANCE).exists():
        return settings
    with np.load(folder / _IMPORTANCE, allow_pickle=False) as arrays:
        return replace(settings, importance={name: arrays[name] for name in arrays.files})


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
