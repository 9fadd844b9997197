"""What people write for a model on the hub, and which of a repository's files they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mch_runtime.errors import DataError, MissingInputError, UsageError

DEFAULT_QUANTIZATION = "Q4_K_M"
_HOSTS = re.compile(r"(?:https?://)?(?:hf\.co|huggingface\.co)/", re.IGNORECASE)
_NAME = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95})(?::(?P<tag>[\w.-]+))?", re.ASCII
)
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
_QUANTIZATION = re.compile(
    r"(?:^|[-._])((?:UD-)?(?:I?Q\d|TQ\d|MXFP\d|BF16|F16|F32)(?:_[A-Z0-9]+)*)(?=[-._]|$)", re.IGNORECASE
)
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SUFFIX = ".gguf"
_HEAD_SUFFIX = ".mch.gguf"


@dataclass(frozen=True)
class HubName:
    """``user/repo:TAG``. tag: a quantization or a file's name, "" for the usual choice."""

    repo: str
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.repo}:{self.tag}" if self.tag else self.repo


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a repository. path: inside it; size: bytes.

    digest: hexadecimal, the SHA-256 of the content where the hub keeps it in LFS (64 digits), else git's own SHA-1
    (40 digits).
    """

    path: str
    size: int
    digest: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Choice:
    """A model's file and the sidecar with its head, None where the repository has none."""

    model: HubFile
    head: HubFile | None


def parse_name(text: str) -> HubName | None:
    """The name that ``text`` is, None if it cannot be one; ``hf.co/`` may come first."""
    match = _NAME.fullmatch(_HOSTS.sub("", text, count=1).rstrip("/"))
    if match is None or "--" in match["repo"] or ".." in match["repo"]:
        return None
    return HubName(match["repo"], match["tag"] or "")


def require_name(text: str) -> HubName:
    """The same; raises UsageError if it is none."""
    name = parse_name(text)
    if name is None:
        raise UsageError(f"{text} is not a model on the hub", hint="user/repo or user/repo:Q4_K_M")
    return name


def quantization_of(path: str) -> str:
    """The quantization that a file's name tells, ``Q4_K_M``; "" if it tells none."""
    found = _QUANTIZATION.findall(PurePosixPath(path).name)
    return str(found[-1]).upper() if found else ""


def is_model(path: str) -> bool:
    """Whether a file is a language model by its name: a GGUF, no projector, no head."""
    name = PurePosixPath(path).name.lower()
    return name.endswith(_SUFFIX) and not name.endswith(_HEAD_SUFFIX) and "mmproj" not in name


def is_part(path: str) -> bool:
    """Whether a file is one of several that a model is split into."""
    return _PART.search(path) is not None


def head_path(path: str) -> str:
    """Where the sidecar of a model would be: ``NAME.mch.gguf`` beside ``NAME.gguf``."""
    return path[: -len(_SUFFIX)] + _HEAD_SUFFIX


def trusted(path: str, size: object, digest: object) -> HubFile | None:
    """A file as a listing tells of it; None where that would not be safe to write to a disk by its name."""
    parts = path.split("/")
    safe = path.isprintable() and "\\" not in path and not any(part in {"", ".", ".."} for part in parts)
    if not safe or not isinstance(size, int) or size < 0:
        return None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    return HubFile(path=path, size=size, digest=digest)


def choose(name: HubName, files: Iterable[HubFile]) -> Choice:
    """The model that ``name`` means among a repository's files.

    Without a tag that is the Q4_K_M, else the first GGUF. Raises MissingInputError if there is none, with what there
    is, DataError if it is split into several files.
    """
    by_path = {file.path: file for file in files}
    models = sorted((file for file in by_path.values() if is_model(file.path)), key=_order)
    if not models:
        raise MissingInputError(
            f"{name.repo} has no GGUF file", hint="look for a repository whose name ends in GGUF"
        )
    fitting = [file for file in models if fits(file.path, name.tag)]
    if name.tag and not fitting:
        raise MissingInputError(f"{name.repo} has no {name.tag}", hint=f"it has {_offered(models)}")
    usual = [file for file in models if fits(file.path, DEFAULT_QUANTIZATION)]
    candidates = fitting if name.tag else [*usual, *models]
    whole = next((file for file in candidates if not is_part(file.path)), None)
    if whole is None:
        raise _split(name, candidates[0])
    return Choice(whole, by_path.get(head_path(whole.path)))


def fits(path: str, tag: str) -> bool:
    """Whether a tag names this file, in any case: its quantization, or the file itself."""
    name, tag = PurePosixPath(path).name.lower(), tag.lower()
    if not tag or tag in {name, name.removesuffix(_SUFFIX)}:
        return bool(tag)
    quantization = quantization_of(_PART.sub(_SUFFIX, path)).lower()
    return tag == quantization or tag == quantization.removeprefix("ud-")


def _order(file: HubFile) -> tuple[int, str]:
    return file.path.count("/"), file.path.lower()


def _offered(models: Sequence[HubFile]) -> str:
    whole = [file for file in models if not is_part(file.path)]
    names = dict.fromkeys(quantization_of(file.path) or file.name for file in whole)
    return ", ".join(names) or "only models that are split into several files"


def _split(name: HubName, part: HubFile) -> DataError:
    match = _PART.search(part.path)
    count = int(match[2]) if match else 0
    return DataError(
        f"{part.name} of {name.repo} is one of {count} parts of a split model, which sage does not load",
        hint="download all parts and merge them: llama-gguf-split --merge FIRST-PART OUTPUT",
    )
