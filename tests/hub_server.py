"""A hub on 127.0.0.1 that speaks the protocol of the real one as far as models are downloaded, and misbehaves on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repo:
    """files: path to content. small: paths kept in git itself. token: who may read it. gated: needs an agreement."""

    files: dict[str, bytes]
    small: set[str] = field(default_factory=set)
    token: str | None = None
    gated: bool = False
    architecture: str | None = "qwen2"

    @property
    def commit(self) -> str:
        described = json.dumps({path: digest(data) for path, data in sorted(self.files.items())})
        return hashlib.sha1(described.encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    """What came, and how many bytes of a file were sent in return."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    agent: str
    sent: int = 0


@dataclass
class Hub:
    """cuts: for the next downloads, after how many bytes the connection is cut. wrong: every file's bytes are others
    than announced. ignore_range: it always sends the whole. statuses: the answer to paths that hold a text.
    """

    repos: dict[str, Repo] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    wrong: bool = False
    ignore_range: bool = False
    surplus: bytes = b""
    statuses: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    page: str | None = None
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""
    cdn: str = ""

    def downloads(self) -> list[Request]:
        """The requests that files were sent for."""
        return [
            request
            for request in self.requests
            if request.path.startswith("/cdn/") and request.method == "GET"
        ]

    @property
    def sent(self) -> list[int]:
        """Bytes of each download."""
        return [request.sent for request in self.downloads()]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_digest(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@contextlib.contextmanager
def running_hub(**repos: dict[str, bytes]) -> Iterator[Hub]:
    """A hub and its download host, each a server of its own; ``a__b`` is the repository ``a/b``."""
    hub = Hub({name.replace("__", "/"): Repo(files) for name, files in repos.items()})
    with _serving(hub) as endpoint, _serving(hub) as cdn:
        hub.endpoint, hub.cdn = endpoint, cdn
        yield hub


@contextlib.contextmanager
def _serving(hub: Hub) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        sent = 0
        status = next((code for text, code in self.hub.statuses.items() if text in path), None)
        if status is not None:
            self._send(status, b"{}", **self.hub.headers)
        elif self.hub.page is not None:
            self._send(200, self.hub.page.encode())
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            self._info(match[1])
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
            self._tree(match[1])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(match[1], match[2], match[3])
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            sent = self._download(self.hub.repos[match[1]].files[match[2]])
        else:
            self._send(404, b"{}")
        authorization = self.headers.get("Authorization")
        agent = self.headers.get("User-Agent", "")
        request = Request(self.command, path, self.headers.get("Range"), authorization, agent, sent)
        self.hub.requests.append(request)

    def _repo(self, name: str) -> Repo | None:
        """The repository, if the request may read it; else the refusal has been sent."""
        repo = self.hub.repos.get(name)
        authorization = self.headers.get("Authorization")
        if repo is None or (repo.token is not None and authorization != f"Bearer {repo.token}"):
            status = 401 if authorization is None else 404
            self._send(status, b"{}", **{"X-Error-Code": "RepoNotFound"})
            return None
        return repo

    def _info(self, name: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        info: dict[str, Any] = {
            "id": name,
            "modelId": name,
            "sha": repo.commit,
            "private": repo.token is not None,
            "gated": "manual" if repo.gated else False,
            "siblings": [_sibling(repo, path) for path in repo.files],
        }
        if repo.architecture:
            info["gguf"] = {"total": 1, "architecture": repo.architecture, "context_length": 2048}
        self._send(200, json.dumps(info).encode())

    def _tree(self, name: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        entries = []
        for path, data in repo.files.items():
            entry = {"type": "file", "path": path, "size": len(data), "oid": git_digest(data)}
            if path not in repo.small:
                entry["lfs"] = {"oid": digest(data), "size": len(data), "pointerSize": 134}
            entries.append(entry)
        self._send(200, json.dumps(entries).encode())

    def _resolve(self, name: str, revision: str, path: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if repo.gated:
            self._send(403, b"{}", **{"X-Error-Code": "GatedRepo"})
        elif revision not in {"main", repo.commit}:
            self._send(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        elif path not in repo.files:
            self._send(404, b"{}", **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repo.commit})
        else:
            data = repo.files[path]
            etag = git_digest(data) if path in repo.small else digest(data)
            headers = {
                "X-Repo-Commit": repo.commit,
                "X-Linked-Etag": f'"{etag}"',
                "X-Linked-Size": str(len(data)),
                "Location": f"{self.hub.cdn}/cdn/{name}/{path}",
            }
            self._send(302, b"", **headers)

    def _download(self, data: bytes) -> int:
        if self.hub.wrong:
            data = bytes([data[0] ^ 1]) + data[1:]
        data += self.hub.surplus
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(match[1]) if match and not self.hub.ignore_range else 0
        part = data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.command == "HEAD":
            return 0
        cut = self.hub.cuts.pop(0) if self.hub.cuts else len(part)
        with contextlib.suppress(OSError):
            self.wfile.write(part[:cut])
        if cut < len(part):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        return min(cut, len(part))

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _sibling(repo: Repo, path: str) -> dict[str, Any]:
    data = repo.files[path]
    entry: dict[str, Any] = {"rfilename": path, "size": len(data), "blobId": git_digest(data)}
    if path not in repo.small:
        entry["lfs"] = {"sha256": digest(data), "size": len(data), "pointerSize": 134}
    return entry
