"""A model hub on loopback with faults to order: as much of the hub's interface as huggingface_hub uses."""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = (".safetensors", ".bin", ".gguf")  # kept by the hub as LFS objects, with a sha256


class StubHub:
    """Serves one repository. Use as a context manager; `url` is what HF_ENDPOINT has to be.

    Faults, all switchable while it runs: `always` (status for every request), `fail_first` (a list of statuses, one per
    request; None lets one pass), `cut_once` (bytes of the next large download that arrive before the connection
    breaks), `tamper` (name of a file that is served with one bit changed), `token` (401 without it).
    """

    def __init__(self, repo: str, files: dict[str, bytes], commit: str = "0123456789abcdef" * 2 + "01234567"):
        self.repo, self.files, self.commit = repo, files, commit
        self.revisions = {"main": commit}
        self.always: int | None = None
        self.fail_first: list[int | None] = []
        self.cut_once: int | None = None
        self.tamper: str | None = None
        self.token: str | None = None
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers in lower case
        self.on_request: Callable[[], None] = lambda: None

    def __enter__(self) -> "StubHub":
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self, body=True)

            def do_HEAD(self) -> None:
                hub._answer(self, body=False)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def downloads(self) -> list[str]:
        """Names of the files that were asked for by GET, in order."""
        return [path.rsplit("/", 1)[1] for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]

    def _answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.command, request.path, headers))
        self.on_request()
        status = self.fail_first.pop(0) if self.fail_first else self.always
        if status is None and self.token and headers.get("authorization") != f"Bearer {self.token}":
            status = 401
        path = request.path.split("?")[0]
        about = re.fullmatch(f"/api/models/{self.repo}(?:/revision/(.+))?", path)
        file = re.fullmatch(f"/{self.repo}/resolve/([^/]+)/(.+)", path)
        if status is not None:
            self._send(request, status, b'{"error": "ordered"}', body)
        elif about and self._commit(about[1] or "main"):
            self._send(request, 200, json.dumps(self._info()).encode(), body)
        elif about:
            self._send(request, 404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
        elif file and self._commit(file[1]) and file[2] in self.files:
            self._send_file(request, file[2], headers.get("range"), body)
        else:
            self._send(request, 404, b"{}", body, {"X-Error-Code": "RepoNotFound"})

    def _commit(self, revision: str) -> str | None:
        return self.revisions.get(revision) or (self.commit if self.commit.startswith(revision) else None)

    def _info(self) -> dict:
        siblings = []
        for name, data in self.files.items():
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            entry = {"rfilename": name, "size": len(data), "blobId": blob}
            if name.endswith(LARGE):
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        return {"id": self.repo, "modelId": self.repo, "sha": self.commit, "tags": [], "siblings": siblings}

    def _send_file(self, request: BaseHTTPRequestHandler, name: str, wanted: str | None, body: bool) -> None:
        data = self.files[name]
        etag = hashlib.sha256(data).hexdigest() if name.endswith(LARGE) else hashlib.sha1(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.commit, "Accept-Ranges": "bytes"}
        if name == self.tamper:
            data = data[:-1] + bytes([data[-1] ^ 1])
        status, total = 200, len(data)
        if wanted:
            first = int(re.match(r"bytes=(\d+)-", wanted)[1])
            data, status = data[first:], 206
            headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        cut = None
        if body and self.cut_once is not None and name.endswith(LARGE):
            cut, self.cut_once = self.cut_once, None
        self._send(request, status, data, body, headers, cut)

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        body: bool,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(data[:cut])
        if cut is not None:
            request.close_connection = True
