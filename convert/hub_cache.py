"""The Hugging Face cache as files: where it is, which models are in it, one put in, one taken out.

``models--USER--REPO`` holds ``blobs/DIGEST``, ``snapshots/COMMIT/PATH``, links to them, and ``refs/main``, the last
commit that was seen. Other programs share it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.hub_names import (
    DEFAULT_QUANTIZATION,
    HubName,
    fits,
    head_path,
    is_model,
    is_part,
    quantization_of,
)
from mch_runtime.atomic import atomic_output
from mch_runtime.errors import AccessError, FileError, MissingInputError, file_error

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAIN = "main"


@dataclass(frozen=True, kw_only=True)
class CachedModel:
    """A GGUF in the cache. path: the link in the newest snapshot that has it; size: bytes; head: its sidecar."""

    repo: str
    path: Path
    file: str
    size: int
    quantization: str
    head: Path | None

    @property
    def name(self) -> str:
        """What ``-m`` takes for it."""
        return f"{self.repo}:{self.quantization or Path(self.file).name}"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """HF_HUB_CACHE, else ``hub`` in HF_HOME, else in the user's cache folder."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(variable):
            return _expanded(environ[variable])
    if environ.get("HF_HOME"):
        return _expanded(environ["HF_HOME"]) / "hub"
    return _expanded(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def repo_folder(cache: Path, repo: str) -> Path:
    """Where a repository's files are kept."""
    return cache / f"models--{repo.replace('/', '--')}"


def cached_models(cache: Path) -> list[CachedModel]:
    """All whole models in the cache, by name. Raises AccessError or FileError if it cannot be read."""
    try:
        folders = sorted(cache.glob("models--*--*")) if cache.is_dir() else []
        models = [model for folder in folders for model in _models_of(folder)]
    except OSError as error:
        raise file_error(error, "read", error.filename or cache) from error
    return sorted(models, key=lambda model: (model.repo.lower(), model.file.lower()))


def find_cached(cache: Path, name: HubName) -> CachedModel | None:
    """The model that a name means among those in the cache, by the rules of the hub's own listing."""
    folder = repo_folder(cache, name.repo)
    try:
        models = sorted(_models_of(folder), key=lambda model: (model.file.count("/"), model.file.lower()))
    except OSError as error:
        raise file_error(error, "read", error.filename or folder) from error
    tag = name.tag or DEFAULT_QUANTIZATION
    fitting = [model for model in models if fits(model.file, tag)]
    return next(iter(fitting if name.tag else [*fitting, *models]), None)


def _models_of(folder: Path) -> Iterator[CachedModel]:
    """Each file once, as the newest snapshot has it."""
    repo = folder.name.removeprefix("models--").replace("--", "/")
    seen: set[str] = set()
    for snapshot in _snapshots(folder):
        for path in sorted(snapshot.rglob("*")):
            file = path.relative_to(snapshot).as_posix()
            if file in seen or not is_model(file) or is_part(file) or not path.is_file():
                continue
            seen.add(file)
            sidecar = snapshot / head_path(file)
            yield CachedModel(
                repo=repo,
                path=path,
                file=file,
                size=path.stat().st_size,
                quantization=quantization_of(file),
                head=sidecar if sidecar.is_file() else None,
            )


def _snapshots(folder: Path) -> list[Path]:
    """That of ``refs/main`` first, then the others, newest first."""
    root = folder / "snapshots"
    if not root.is_dir():
        return []
    main = folder / "refs" / _MAIN
    commit = main.read_text(encoding="ascii", errors="replace").strip() if main.is_file() else ""
    snapshots = [path for path in root.iterdir() if _COMMIT.fullmatch(path.name) and path.is_dir()]
    return sorted(snapshots, key=lambda path: (path.name == commit, path.stat().st_mtime), reverse=True)


def link(folder: Path, commit: str, file: str, digest: str) -> Path:
    """Show a blob as ``file`` in a commit's snapshot; the path there. Raises OSError."""
    pointer = folder / "snapshots" / commit / file
    pointer.parent.mkdir(parents=True, exist_ok=True)
    blob = folder / "blobs" / digest
    target = os.path.relpath(blob, pointer.parent)
    if pointer.is_symlink() and os.readlink(pointer) == target:  # noqa: PTH115 - as written, not as a path
        return pointer
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(target)
    return pointer


def remember_main(folder: Path, commit: str) -> None:
    """Make ``commit`` the newest one."""
    refs = folder / "refs"
    refs.mkdir(parents=True, exist_ok=True)
    with atomic_output(refs / _MAIN) as partial:
        partial.write_text(commit, encoding="ascii")


def remove(cache: Path, model: CachedModel) -> int:
    """Take a model and its sidecar out of the cache, from all snapshots; the bytes that became free.

    A blob that another file of the cache shows stays. Raises AccessError or FileError if something is left.
    """
    from huggingface_hub import scan_cache_dir

    names = {model.file, head_path(model.file)}
    scan = scan_cache_dir(cache)
    files = [
        file
        for repo in scan.repos
        if repo.repo_type == "model" and repo.repo_id == model.repo
        for revision in repo.revisions
        for file in revision.files
        if file.file_path.relative_to(revision.snapshot_path).as_posix() in names
    ]
    if not files:
        raise MissingInputError(f"{model.name} is not in the cache", hint="sage models lists what is")
    strategy = scan.delete_files(*files)
    try:
        strategy.execute()
    except OSError as error:
        raise file_error(error, "remove", model.path) from error
    left = next((path for path in (*strategy.files, *strategy.blobs) if os.path.lexists(path)), None)
    if left is not None:
        error_type = AccessError if not os.access(left.parent, os.W_OK) else FileError
        raise error_type(f"cannot remove {left}", hint="check who owns the cache")
    return strategy.expected_freed_size
