"""Models from the hub: looked up, downloaded so that they can be continued, checked, put into the shared cache.

The client library knows the protocol and the tokens. It begins an interrupted download again and does not compare
what arrived with the hub's checksum; both are done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.hub_cache import cache_folder, link, remember_main, repo_folder
from convert.hub_download import Transfer, forget_stale, is_whole
from convert.hub_errors import offline, speaking
from convert.hub_names import Choice, HubFile, HubName, choose, trusted
from mch_runtime.errors import HeadError, ModelError, NetworkError, UsageError, file_error
from mch_runtime.gguf.architectures import ARCHITECTURES
from mch_runtime.gguf.checked import check_open_file
from mch_runtime.gguf.source import open_source
from mch_runtime.head.format import MAX_HEAD_BYTES, decode_head

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TRUE = {"1", "ON", "YES", "TRUE"}

Advance = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a name means on the hub now. commit: of the repository; digests: of all its files."""

    name: HubName
    commit: str
    choice: Choice
    digests: frozenset[str]

    @property
    def size(self) -> int:
        """Bytes of the model and its head."""
        head = self.choice.head
        return self.choice.model.size + (head.size if head else 0)


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A model in the cache. path, head: in its snapshot; received: bytes that had to be downloaded."""

    path: Path
    head: Path | None
    received: int


def is_offline(environ: Mapping[str, str]) -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


class Hub:
    """The hub that HF_ENDPOINT names, and the cache in front of it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.endpoint = (environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
        self.cache = cache_folder(environ)
        self._offline = is_offline(environ)
        self._token = environ.get("HF_TOKEN") or None  # None: what the library finds in its own file
        self._timeout = _seconds(environ.get("HF_HUB_DOWNLOAD_TIMEOUT"))

    def look_up(self, name: HubName) -> Found:
        """Ask the hub which file a name means.

        Raises NetworkError, AccessError for gated repositories, MissingInputError if there is no such repository or
        quantization, DataError for split models, ModelError for architectures that sage does not know.
        """
        if self._offline:
            raise offline(str(name))
        from huggingface_hub import HfApi, constants

        constants.HF_HUB_DISABLE_TELEMETRY = (
            True  # else it tells which torch is installed, and asks for a registry
        )
        api = HfApi(endpoint=self.endpoint, token=self._token)
        try:
            with speaking(self.endpoint, name.repo):
                info = api.model_info(name.repo, files_metadata=True, timeout=self._timeout)
        except (ValueError, KeyError, TypeError) as error:
            hint = "check HF_ENDPOINT, and whether this network asks for a login"
            raise NetworkError(f"{self.endpoint} does not answer as a hub does", hint=hint) from error
        if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
            raise NetworkError(f"{self.endpoint} does not say which commit of {name.repo} it has")
        listed = (
            trusted(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in info.siblings or ()
        )
        files = [file for file in listed if file is not None]
        _check_architecture(name, info.gguf)
        digests = frozenset(file.digest for file in files)
        return Found(name=name, commit=info.sha, choice=choose(name, files), digests=digests)

    def fetch(self, found: Found, *, advance: Advance = lambda done, total: None) -> Pulled:
        """Bring what was found into the cache, continuing an earlier attempt.

        advance: is told bytes done and bytes in all. A file is visible there only after its checksum was right and
        the guard let it pass; what fails is removed. Raises NetworkError, DataError, ModelError, FileError, AccessError.
        """
        folder = repo_folder(self.cache, found.name.repo)
        try:
            (folder / "blobs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise file_error(error, "write", folder) from error
        model, head = found.choice.model, found.choice.head
        received = self._fetch(found, model, lambda done: advance(done, found.size), _check_model)
        if head is not None:
            received += self._fetch(
                found, head, lambda done: advance(model.size + done, found.size), _check_head
            )
        try:
            path = link(folder, found.commit, model.path, model.digest)
            sidecar = link(folder, found.commit, head.path, head.digest) if head else None
        except OSError as error:
            raise file_error(error, "write", folder) from error
        remember_main(folder, found.commit)
        forget_stale(folder / "blobs", keep=found.digests)
        return Pulled(path=path, head=sidecar, received=received)

    def _fetch(
        self, found: Found, file: HubFile, advance: Callable[[int], None], check: Callable[[int, Path], None]
    ) -> int:
        """The bytes that had to be received."""
        repo = found.name.repo
        blob = repo_folder(self.cache, repo) / "blobs" / file.digest
        if is_whole(blob, file):
            advance(file.size)
            return 0
        transfer = Transfer(
            url=_url(self.endpoint, repo, found.commit, file.path),
            file=file,
            token=self._token,
            timeout=self._timeout,
        )
        with speaking(self.endpoint, repo):
            return transfer.run(blob, advance=advance, check=lambda fd: check(fd, Path(repo, file.path)))


def _url(endpoint: str, repo: str, commit: str, path: str) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repo, path, revision=commit, endpoint=endpoint)


def _seconds(value: str | None) -> float:
    try:
        seconds = float(value or 10)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"HF_HUB_DOWNLOAD_TIMEOUT {value!r} is not a number of seconds")
    return seconds


def _check_architecture(name: HubName, gguf: object) -> None:
    """Before gigabytes are downloaded for nothing; the hub reads the headers of GGUFs."""
    architecture = gguf.get("architecture") if isinstance(gguf, dict) else None
    if isinstance(architecture, str) and architecture not in ARCHITECTURES and architecture != "mch":
        known = ", ".join(ARCHITECTURES)
        raise ModelError(
            f"{name.repo}: the architecture {architecture!r} is not supported",
            rule="architecture",
            hint=f"supported are {known}",
        )


def _check_model(fd: int, label: Path) -> None:
    check_open_file(fd, label)


def _check_head(fd: int, label: Path) -> None:
    try:
        decode_head(open_source(fd).read(0, MAX_HEAD_BYTES + 1))
    except HeadError as error:
        raise HeadError(f"{label}: {error.message}", hint=error.hint) from error
