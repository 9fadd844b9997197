"""Against a local server that speaks the hub's protocol."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convert import hub_download
from convert.hub import Hub, Pulled
from convert.hub_cache import cache_folder, cached_models, find_cached, remove, repo_folder
from convert.hub_names import HubName, require_name
from mch_runtime.errors import (
    AccessError,
    DataError,
    FileError,
    HeadError,
    MissingInputError,
    ModelError,
    NetworkError,
    SageError,
    UsageError,
)
from mch_runtime.head.container import encode_head, sidecar_path
from tests import hub_server
from tests.gguf_samples import write_model
from tests.head_samples import random_head
from tests.hub_server import digest, running_hub

NAME = HubName("ann/tiny-GGUF")
FILE = "tiny-Q4_K_M.gguf"
HEAD = "tiny-Q4_K_M.mch.gguf"


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_model(tmp_path_factory.mktemp("hub") / "tiny.gguf").read_bytes()


@pytest.fixture
def hub(gguf: bytes) -> Iterator[hub_server.Hub]:
    with running_hub(**{"ann__tiny-GGUF": {FILE: gguf, "README.md": b"# tiny"}}) as hub:
        yield hub


@pytest.fixture(autouse=True)
def quiet_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no token of the user's, no waiting, small pieces."""
    for variable in (
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "/nonexistent/token")
    monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", "/nonexistent/tokens")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(hub_download, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(hub_download, "CHUNK", 1000)


def environ(hub: hub_server.Hub, tmp_path: Path, **more: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), **more}


def pull(
    hub: hub_server.Hub,
    tmp_path: Path,
    name: HubName = NAME,
    *,
    advance: Callable[[int, int], None] = lambda done, total: None,
    **more: str,
) -> Pulled:
    client = Hub(environ(hub, tmp_path, **more))
    return client.fetch(client.look_up(name), advance=advance)


def left(tmp_path: Path) -> list[str]:
    """Names of all files under the cache but refs."""
    files = (path for path in (tmp_path / "hub").rglob("*") if path.is_file() or path.is_symlink())
    return sorted(path.name for path in files if path.parent.name != "refs")


def test_a_model_comes_into_the_shared_cache(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    pulled = pull(hub, tmp_path, advance=lambda done, total: told.append((done, total)))
    assert pulled.path.read_bytes() == gguf
    assert (pulled.received, pulled.head) == (len(gguf), None)
    assert told[0] == (0, len(gguf))
    assert told[-1] == (len(gguf), len(gguf))
    assert told == sorted(told)
    folder = repo_folder(tmp_path / "hub", NAME.repo)
    commit = hub.repos[NAME.repo].commit
    assert pulled.path == folder / "snapshots" / commit / FILE
    assert pulled.path.resolve() == (folder / "blobs" / digest(gguf)).resolve()
    assert (folder / "refs" / "main").read_text() == commit
    assert left(tmp_path) == sorted([digest(gguf), FILE])


def test_the_client_library_finds_what_was_pulled(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    pulled = pull(hub, tmp_path)
    theirs = hf_hub_download(NAME.repo, FILE, cache_dir=tmp_path / "hub", local_files_only=True)
    assert Path(theirs) == pulled.path
    assert hf_hub_download(NAME.repo, FILE, cache_dir=tmp_path / "hub", endpoint=hub.endpoint) == theirs
    assert len(hub.downloads()) == 1


def test_what_the_client_library_downloaded_is_used(hub: hub_server.Hub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    theirs = hf_hub_download(NAME.repo, FILE, cache_dir=tmp_path / "hub", endpoint=hub.endpoint)
    pulled = pull(hub, tmp_path)
    assert (pulled.path, pulled.received) == (Path(theirs), 0)


def test_a_second_pull_receives_nothing(hub: hub_server.Hub, tmp_path: Path) -> None:
    first = pull(hub, tmp_path)
    assert pull(hub, tmp_path) == Pulled(path=first.path, head=None, received=0)
    assert len(hub.downloads()) == 1


def test_the_head_comes_with_the_model(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    head = encode_head(random_head())
    hub.repos[NAME.repo].files[HEAD] = head
    pulled = pull(hub, tmp_path)
    assert pulled.head == sidecar_path(pulled.path)
    assert pulled.head.read_bytes() == head
    assert pulled.received == len(gguf) + len(head)
    assert cached_models(tmp_path / "hub")[0].head == pulled.head


def test_a_head_that_is_none_is_refused(hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.repos[NAME.repo].files[HEAD] = b"GGUF and nothing more"
    with pytest.raises(HeadError, match=HEAD):
        pull(hub, tmp_path)
    assert HEAD not in left(tmp_path)


def test_files_that_git_keeps_are_checked_too(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    hub.repos[NAME.repo].small.add(FILE)
    assert pull(hub, tmp_path).path.resolve().name == hub_server.git_digest(gguf)
    hub.repos[NAME.repo].files[FILE] = gguf + bytes(32)
    hub.wrong = True
    with pytest.raises(DataError, match="checksum"):
        pull(hub, tmp_path)


def test_a_cut_connection_is_continued_at_once(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    hub.cuts = [50_000, 30_000]
    assert pull(hub, tmp_path).path.read_bytes() == gguf
    kept = 50_000, 50_000 + 30_000
    assert [request.range for request in hub.downloads()] == [None, *(f"bytes={count}-" for count in kept)]
    assert hub.sent == [50_000, 30_000, len(gguf) - 80_000]


def test_an_interrupted_download_goes_on_in_the_next_attempt(
    hub: hub_server.Hub, gguf: bytes, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 40_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(hub, tmp_path, advance=stop)
    assert left(tmp_path) == [f"{digest(gguf)}.incomplete"]
    told: list[int] = []
    pulled = pull(hub, tmp_path, advance=lambda done, total: told.append(done))
    assert (pulled.received, told[0]) == (len(gguf) - 40_000, 40_000)
    assert hub.downloads()[-1].range == "bytes=40000-"
    assert hub.sent[-1] == len(gguf) - 40_000
    assert pulled.path.read_bytes() == gguf


def test_connections_that_bring_nothing_are_given_up(
    hub: hub_server.Hub, gguf: bytes, tmp_path: Path
) -> None:
    hub.cuts = [20_000, 0, 0, 0, 0]
    with pytest.raises(NetworkError, match="cannot reach"):
        pull(hub, tmp_path)
    assert left(tmp_path) == [f"{digest(gguf)}.incomplete"]
    hub.cuts = []
    assert pull(hub, tmp_path).received == len(gguf) - 20_000


def test_a_server_that_ignores_ranges_sends_it_all_again(
    hub: hub_server.Hub, gguf: bytes, tmp_path: Path
) -> None:
    hub.cuts, hub.ignore_range = [30_000], True
    assert pull(hub, tmp_path).path.read_bytes() == gguf
    assert hub.sent == [30_000, len(gguf)]


def test_wrong_bytes_are_refused_and_removed(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    hub.wrong = True
    with pytest.raises(DataError, match="checksum") as refusal:
        pull(hub, tmp_path)
    assert refusal.value.exit_code == 65
    assert left(tmp_path) == []
    assert cached_models(tmp_path / "hub") == []
    hub.wrong = False
    assert pull(hub, tmp_path).path.read_bytes() == gguf


def test_a_damaged_beginning_is_noticed(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    blobs = repo_folder(tmp_path / "hub", NAME.repo) / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{digest(gguf)}.incomplete").write_bytes(bytes(1000))
    with pytest.raises(DataError, match="checksum"):
        pull(hub, tmp_path)
    assert left(tmp_path) == []
    assert pull(hub, tmp_path).received == len(gguf)


def test_more_than_was_announced(hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.surplus = bytes(5000)
    with pytest.raises(DataError, match="longer"):
        pull(hub, tmp_path)
    assert left(tmp_path) == []


def test_a_file_that_changed_between_attempts(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    hub.cuts = [30_000, 0, 0, 0, 0]
    with pytest.raises(NetworkError):
        pull(hub, tmp_path)
    changed = gguf + bytes(32)
    hub.repos[NAME.repo].files[FILE] = changed
    hub.cuts = []
    pulled = pull(hub, tmp_path)
    assert pulled.path.read_bytes() == changed
    assert pulled.received == len(changed)
    assert left(tmp_path) == sorted([digest(changed), FILE])


def test_a_new_commit_keeps_the_old_one(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    old = pull(hub, tmp_path)
    hub.repos[NAME.repo].files["README.md"] = b"# better"
    new = pull(hub, tmp_path)
    assert (new.received, new.path != old.path, old.path.exists()) == (0, True, True)
    assert [model.path for model in cached_models(tmp_path / "hub")] == [new.path]


def test_the_guard_looks_at_every_model(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    hub.repos[NAME.repo].files[FILE] = gguf[: len(gguf) // 2]
    with pytest.raises(ModelError, match="cut off") as refusal:
        pull(hub, tmp_path)
    assert f"{NAME.repo}/{FILE}" in refusal.value.message
    assert left(tmp_path) == []


def test_an_unknown_architecture_is_not_downloaded(hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.repos[NAME.repo].architecture = "mamba"
    with pytest.raises(ModelError, match="mamba"):
        pull(hub, tmp_path)
    assert hub.downloads() == []


def test_a_token_goes_to_the_hub_and_nowhere_else(hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.repos[NAME.repo].token = "hf_secret"
    with pytest.raises(MissingInputError, match="private") as refusal:
        pull(hub, tmp_path)
    assert "HF_TOKEN" in refusal.value.hint
    with pytest.raises(MissingInputError, match="private"):
        pull(hub, tmp_path, HF_TOKEN="hf_wrong")
    pull(hub, tmp_path, HF_TOKEN="hf_secret")
    sent = {request.path.startswith("/cdn/"): request.authorization for request in hub.requests}
    assert sent == {False: "Bearer hf_secret", True: None}


def test_nothing_is_told_about_this_computer(hub: hub_server.Hub, tmp_path: Path) -> None:
    pull(hub, tmp_path)
    assert [request.path.split("/")[1] for request in hub.requests] == ["api", "ann", "cdn"]
    assert not any("torch" in request.agent or "agent/" in request.agent for request in hub.requests)


def test_gated_and_missing_repositories(hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.repos[NAME.repo].gated = True
    with pytest.raises(AccessError, match="gated") as refusal:
        pull(hub, tmp_path)
    assert refusal.value.exit_code == 77
    with pytest.raises(MissingInputError, match="there is no repository ann/none"):
        pull(hub, tmp_path, HubName("ann/none"))


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (403, AccessError, 77),
        (404, MissingInputError, 66),
        (418, NetworkError, 69),
        (429, NetworkError, 69),
        (500, NetworkError, 69),
        (503, NetworkError, 69),
    ],
)
@pytest.mark.parametrize("where", ["/api/models", "/resolve/", "/cdn/"])
def test_other_answers_are_one_sentence(
    hub: hub_server.Hub, tmp_path: Path, status: int, error: type[SageError], code: int, where: str
) -> None:
    hub.statuses[where] = status
    with pytest.raises(error) as refusal:
        pull(hub, tmp_path)
    assert refusal.value.exit_code == code
    assert "\n" not in refusal.value.message + refusal.value.hint
    assert left(tmp_path) == []


def test_how_long_to_wait(hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.statuses["/api/"], hub.headers = 429, {"Retry-After": "40"}
    with pytest.raises(NetworkError) as refusal:
        pull(hub, tmp_path)
    assert refusal.value.hint == "try again in 40 seconds"


@pytest.mark.parametrize(
    "page", ["<html>please log in</html>", "[]", "{}", '{"id": "a/b", "sha": "../../x"}']
)
def test_something_else_than_a_hub(hub: hub_server.Hub, tmp_path: Path, page: str) -> None:
    hub.page = page
    with pytest.raises(NetworkError):
        pull(hub, tmp_path)


def test_nobody_listens(tmp_path: Path) -> None:
    client = Hub({"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)})
    with pytest.raises(NetworkError, match="cannot reach") as refusal:
        client.look_up(NAME)
    assert refusal.value.exit_code == 69


def test_a_silent_server(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = Hub({"HF_ENDPOINT": endpoint, "HF_HUB_DOWNLOAD_TIMEOUT": "0.2", "HF_HOME": str(tmp_path)})
        with pytest.raises(NetworkError, match="in time"):
            client.look_up(NAME)


def test_offline_nothing_is_asked(hub: hub_server.Hub, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
        pull(hub, tmp_path, HF_HUB_OFFLINE="1")
    pulled = pull(hub, tmp_path)
    asked = len(hub.requests)
    cached = find_cached(cache_folder(environ(hub, tmp_path)), NAME)
    assert cached is not None
    assert cached.path == pulled.path
    assert len(hub.requests) == asked


def test_paths_of_the_listing_cannot_leave_the_cache(
    hub: hub_server.Hub, gguf: bytes, tmp_path: Path
) -> None:
    for path in (
        "../../evil-Q4_K_M.gguf",
        "/etc/evil-Q4_K_M.gguf",
        "a//evil-Q4_K_M.gguf",
        "a\\evil-Q4_K_M.gguf",
    ):
        hub.repos[NAME.repo].files = {path: gguf}
        with pytest.raises(MissingInputError, match="no GGUF"):
            pull(hub, tmp_path)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_disk_without_space(hub: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((*real[:4], 1, *real[5:]))
    monkeypatch.setattr(hub_download.os, "statvfs", lambda path: full)
    with pytest.raises(FileError, match="not enough space") as refusal:
        pull(hub, tmp_path)
    assert refusal.value.exit_code == 74
    assert hub.downloads() == []
    assert left(tmp_path) == []


def test_a_disk_that_fills_up(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    """In a child, whose files may only become so large: what has arrived is kept."""
    script = (
        "import resource, signal, sys, json, os\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, 64_000))\n"
        "from convert.hub import Hub; from convert.hub_names import HubName\n"
        "from mch_runtime.errors import SageError\n"
        f"hub = Hub(os.environ)\ntry: hub.fetch(hub.look_up(HubName({NAME.repo!r})))\n"
        "except SageError as error: print(json.dumps([type(error).__name__, error.message]))\n"
    )
    child = {**os.environ, **environ(hub, tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=child, capture_output=True, timeout=60, check=True
    )
    kind, message = json.loads(done.stdout)
    assert kind == "FileError"
    assert "file too large" in message
    assert left(tmp_path) == [f"{digest(gguf)}.incomplete"]
    assert pull(hub, tmp_path).path.read_bytes() == gguf


def test_two_at_once(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    blobs = repo_folder(tmp_path / "hub", NAME.repo) / "blobs"
    blobs.mkdir(parents=True)
    with (blobs / f"{digest(gguf)}.incomplete").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FileError, match="another process"):
            pull(hub, tmp_path)
    assert pull(hub, tmp_path).path.read_bytes() == gguf


def test_a_cache_that_may_not_be_written(
    hub: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(AccessError):
        pull(hub, tmp_path)


def test_a_timeout_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="HF_HUB_DOWNLOAD_TIMEOUT"):
        Hub({"HF_HUB_DOWNLOAD_TIMEOUT": "soon"})


def test_removing_leaves_what_others_show(hub: hub_server.Hub, gguf: bytes, tmp_path: Path) -> None:
    head = encode_head(random_head())
    hub.repos[NAME.repo].files |= {HEAD: head, "copy-Q8_0.gguf": gguf}
    pull(hub, tmp_path)
    copy = pull(hub, tmp_path, require_name("ann/tiny-GGUF:Q8_0"))
    cache = tmp_path / "hub"
    first = find_cached(cache, NAME)
    assert first is not None
    assert remove(cache, first) == len(head)
    assert copy.path.read_bytes() == gguf
    second = find_cached(cache, NAME)
    assert second is not None
    assert remove(cache, second) == len(gguf)
    assert cached_models(cache) == []
    assert left(tmp_path) == []
    with pytest.raises(MissingInputError):
        remove(cache, second)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_where_the_cache_is(variables: dict[str, str], folder: str) -> None:
    assert str(cache_folder(variables)) == folder
