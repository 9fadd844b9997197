"""What can be said about a model's file without loading it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_cli.render.safe import one_line

if TYPE_CHECKING:
    from mch_runtime.gguf.reader import GgufFile, Value
    from mch_runtime.head.container import HeadReport

_ORIGIN = (
    "author",
    "organization",
    "license",
    "url",
    "repo_url",
    "source.url",
    "source.repo_url",
    "quantized_by",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model in the list. size: bytes, None if the file is not there; head: inside, beside or ""; default: it is used
    when no model is named; stands_for: what an alias means.
    """

    name: str
    path: Path
    size: int | None
    quantization: str
    head: str
    default: bool
    stands_for: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values, null for what is not there or not known."""
        return {
            "name": self.name,
            "alias_of": self.stands_for or None,
            "size": self.size,
            "quantization": self.quantization or None,
            "head": self.head or None,
            "default": self.default,
            "path": str(self.path),
        }

    def fields(self) -> list[str]:
        """For pipes: name, bytes, quantization, head, path."""
        count_of_bytes = "" if self.size is None else str(self.size)
        return [
            one_line(field)
            for field in (self.name, count_of_bytes, self.quantization, self.head, str(self.path))
        ]


@dataclass(frozen=True, kw_only=True)
class Description:
    """A model. parameters: numbers in its tensors, the head's not counted; context: tokens it was trained on, None if
    it does not say; template: where the chat template comes from; head: None without one; problem: why the head
    that is there cannot be used, "" if it can; origin: what the file says about where it comes from.
    """

    path: Path
    name: str
    file_bytes: int
    architecture: str
    parameters: int
    quantization: str | None
    context: int | None
    embedding: int | None
    layers: int | None
    vocabulary: int
    template: str
    head: HeadReport | None
    problem: str
    origin: dict[str, str]


def brief(name: str, path: Path, *, default: bool, quantization: str = "", stands_for: str = "") -> Row:
    """One line of the list; a file that cannot be read has no size. quantization: what its name tells."""
    from convert.hub_names import head_path
    from mch_runtime.head.tail import bears_footer

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return Row(
            name=name, path=path, size=None, quantization="", head="", default=default, stands_for=stands_for
        )
    try:
        head = "inside" if bears_footer(fd) else "beside" if Path(head_path(str(path))).is_file() else ""
        size = os.fstat(fd).st_size
        quantization = quantization or _quantization(fd)
    finally:
        os.close(fd)
    return Row(
        name=name,
        path=path,
        size=size,
        quantization=quantization,
        head=head,
        default=default,
        stands_for=stands_for,
    )


def _quantization(fd: int) -> str:
    from mch_runtime.errors import ModelError
    from mch_runtime.file_types import file_type_name
    from mch_runtime.gguf.reader import read_gguf

    try:
        return file_type_name(read_gguf(fd).metadata.get("general.file_type")) or ""
    except (ModelError, OSError):
        return ""


def describe(path: Path) -> Description:
    """Raises ModelError if the guard refuses the file, and the errors of reading it."""
    from mch_runtime.file_types import file_type_name
    from mch_runtime.gguf.checked import open_checked

    with open_checked(path) as (fd, gguf):
        size = os.fstat(fd).st_size
        head, problem = _head(path, fd, gguf, size)
    metadata = gguf.metadata
    architecture = str(metadata["general.architecture"])
    tokens = metadata.get("tokenizer.ggml.tokens")
    return Description(
        path=path,
        name=str(metadata.get("general.name") or path.stem),
        file_bytes=size,
        architecture=architecture,
        parameters=sum(math.prod(tensor.shape) for tensor in gguf.tensors),
        quantization=file_type_name(metadata.get("general.file_type")),
        context=_whole(metadata.get(f"{architecture}.context_length")),
        embedding=_whole(metadata.get(f"{architecture}.embedding_length")),
        layers=_whole(metadata.get(f"{architecture}.block_count")),
        vocabulary=len(tokens) if isinstance(tokens, tuple) else 0,
        template=_template(metadata.get("tokenizer.chat_template")),
        head=head,
        problem=problem,
        origin={key: str(metadata[f"general.{key}"]) for key in _ORIGIN if metadata.get(f"general.{key}")},
    )


def _head(path: Path, fd: int, gguf: GgufFile, size: int) -> tuple[HeadReport | None, str]:
    from mch_runtime.errors import SageError
    from mch_runtime.head.container import find_head, verify

    try:
        found = find_head(path, fd, gguf, size)
        if found is None or found.head is None:
            return None, ""
        report = verify(path)
    except SageError as error:
        return None, error.message
    return report, report.problem


def _template(text: Value | None) -> str:
    """Which chat template there is, in words."""
    from prompts.dialects import dialect_of

    if not isinstance(text, str) or not text:
        return "none; asked in ChatML"
    return "known to sage" if dialect_of(text).trusted else "the file's own"


def _whole(value: Value | None) -> int | None:
    return value if isinstance(value, int) else None
