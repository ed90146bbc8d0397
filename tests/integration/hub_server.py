"""A model hub on loopback, with Hugging Face's interface and every way to fail that a test asks for.

Small files are served by the hub itself, large ones by a redirect to a second server, as the real one does.
"""
import hashlib
import http.server
import json
import re
import threading
import time
from dataclasses import dataclass, field

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1024  # bytes; from here on a file is a "large" one, with a SHA-256


@dataclass
class Request:
    server: str  # "hub" or "cdn"
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Faults:
    """What goes wrong. Each list is used up, one entry a request for a large file."""
    cut_after: list[int] = field(default_factory=list)       # bytes of a body before the connection breaks
    statuses: list[int] = field(default_factory=list)        # answered instead of the file
    ignore_ranges: bool = False
    flip_a_bit: bool = False
    token: str = ""                                          # demanded by the hub
    bytes_per_second: float = 0                              # 0: as fast as can be
    page_size: int = 1000                                    # files per page of the list
    extra_bytes: bytes = b""                                 # after the file
    list_body: bytes | None = None                           # instead of the list
    retry_after: str = "1"


class Hub:
    """`repositories`: {"org/name": {path: bytes}}. A context manager."""

    def __init__(self, repositories: dict[str, dict[str, bytes]]):
        self.repositories = repositories
        self.faults = Faults()
        self.requests: list[Request] = []
        self.claimed_sizes: dict[str, int] = {}
        self._servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler(name)) for name in ("hub", "cdn")]
        self.url, self._cdn = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def of_large_files(self) -> list[Request]:
        return [request for request in self.requests if request.server == "cdn"]

    def _handler(self, name: str):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.requests.append(Request(name, self.path, self.headers["Range"], self.headers["Authorization"]))
                try:
                    hub._answer(self, name)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        return Handler

    def _answer(self, request, server: str) -> None:
        if server == "cdn":
            _, _, organisation, name, path = request.path.split("/", 4)
            return self._send_large(request, self.repositories[f"{organisation}/{name}"][path])
        if self.faults.token and request.headers["Authorization"] != f"Bearer {self.faults.token}":
            return self._send(request, 401, b'{"error":"Invalid username or password."}')
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(\S+)", request.path):
            known = match[1] in self.repositories and match[2] in ("main", "v1%2Fx", COMMIT)
            return self._send(request, 200 if known else 404, json.dumps({"id": match[1], "sha": COMMIT}).encode())
        if match := re.fullmatch(rf"/api/models/([^/]+/[^/]+)/tree/{COMMIT}\?recursive=true(?:&cursor=(\d+))?", request.path):
            return self._send_list(request, match[1], int(match[2] or 0))
        if match := re.fullmatch(rf"/([^/]+/[^/]+)/resolve/{COMMIT}/(\S+)", request.path):
            content = self.repositories[match[1]].get(match[2])
            if content is None:
                return self._send(request, 404, b"Entry not found")
            if len(content) < LARGE:
                return self._send(request, 200, content)
            return self._send(request, 302, b"moved", {"Location": f"{self._cdn}/bucket/{match[1]}/{match[2]}"})
        return self._send(request, 404, b"no such page")

    def _send_list(self, request, repository: str, first: int) -> None:
        if self.faults.list_body is not None:
            return self._send(request, 200, self.faults.list_body)
        entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"}]
        for path, content in self.repositories[repository].items():
            size = self.claimed_sizes.get(path, len(content))
            entry = {"type": "file", "path": path, "size": size}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if len(content) >= LARGE:
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": size, "pointerSize": 135}
            entries.append(entry)
        after = first + self.faults.page_size
        headers = {}
        if after < len(entries):
            page = f"{self.url}/api/models/{repository}/tree/{COMMIT}?recursive=true&cursor="
            headers["Link"] = f'<{page}0>; rel="first", <{page}{after}>; rel="next"'
        self._send(request, 200, json.dumps(entries[first:after]).encode(), headers)

    def _send_large(self, request, content: bytes) -> None:
        faults = self.faults
        if faults.statuses:
            return self._send(request, faults.statuses.pop(0), b"busy", {"Retry-After": faults.retry_after})
        if faults.flip_a_bit:
            content = content[:500] + bytes([content[500] ^ 1]) + content[501:]
        content += faults.extra_bytes
        first, status, headers = 0, 200, {"ETag": '"x"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers["Range"] or "")
        if wanted and not faults.ignore_ranges:
            first, status = int(wanted[1]), 206
            if first >= len(content):
                return self._send(request, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        body = content[first:]
        if faults.cut_after:
            n_bytes = faults.cut_after.pop(0)
            self._send(request, status, body, headers, cut_after=n_bytes)
        else:
            self._send(request, status, body, headers)

    def _send(self, request, status: int, body: bytes, headers: dict[str, str] | None = None, cut_after: int | None = None) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if cut_after is not None:
            request.wfile.write(body[:cut_after])
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(2)
            return
        if not self.faults.bytes_per_second:
            request.wfile.write(body)
            return
        step = max(1, int(self.faults.bytes_per_second / 50))
        for i in range(0, len(body), step):
            request.wfile.write(body[i:i + step])
            time.sleep(0.02)
