"""A loopback HTTP server that misbehaves on request, and a small trace set that it serves."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from archrl.traces.registry import TraceSet
from archrl.traces.registry_files import TraceFile

NAME = "small_set"
FILES = {
    "a.csv": random.Random(1).randbytes(300_000),
    "sub/b.csv": random.Random(2).randbytes(150_001),
    "README.upstream.md": b"terms of use\n",
}


@dataclass
class Upstream:
    """What the server does, and what it was asked.

    `behaviours[path]` is used up from the left, one per request; then the server behaves well. Known: "status:N",
    "cut:N" (N bytes of the promised ones), "altered", "longer", "whole" (ignores Range), "from:N" (answers from byte N
    whatever is asked), "to:URL" (redirect), "silent" (closes without an answer), "stall:N" (sends N bytes, then nothing
    until the server ends).
    """

    url: str = ""
    behaviours: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    ended: threading.Event = field(default_factory=threading.Event)

    def ranges(self, name: str) -> list[str | None]:
        """The Range headers of the requests for a file, in order."""
        return [header for path, header in self.asked if path.endswith("/" + name)]

    def trace_set(self) -> TraceSet:
        """The trace set as registered: the right sizes and checksums."""
        files = tuple(
            TraceFile(name, len(data), hashlib.sha256(data).hexdigest(), f"{self.url}/{name}")
            for name, data in FILES.items()
        )
        return TraceSet(NAME, files, licence="none", source="made for the tests")


@contextmanager
def serve() -> Iterator[Upstream]:
    """Serve `FILES` at any prefix until the block ends."""
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, upstream)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    upstream.url = f"http://127.0.0.1:{server.server_address[1]}/pinned"
    try:
        yield upstream
    finally:
        upstream.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, upstream: Upstream) -> None:
    handler.close_connection = True
    asked = handler.headers.get("Range")
    upstream.asked.append((handler.path, asked))
    name = next((name for name in upstream.files if handler.path.endswith("/" + name)), None)
    waiting = upstream.behaviours.get(name or "", [])
    kind, _, value = (waiting.pop(0) if waiting else "").partition(":")
    if kind == "silent":
        return
    if kind == "status" or name is None:
        _send(handler, int(value or 404), b"no", {})
        return
    if kind == "to":
        _send(handler, 302, b"", {"Location": value})
        return
    data = upstream.files[name]
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and kind != "whole" else 0
    start = int(value) if kind == "from" else start
    body = {"altered": bytes(len(data)), "longer": data + b"more"}.get(kind, data)[start:]
    headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
    sent = int(value) if kind in ("cut", "stall") else len(body)
    _send(handler, 206 if start else 200, body, headers, sent)
    if kind == "stall":
        upstream.ended.wait()


def _send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str], sent: int | None = None
) -> None:
    handler.send_response(status)
    for key, text in headers.items():
        handler.send_header(key, text)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body[:sent])
