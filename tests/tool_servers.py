"""A real little HTTP server for the tests of HTTP tools: answers as LibreTranslate or EasyNMT do, or misbehaves."""

import json
import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Knows its manner and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, manner):
        super().__init__(("127.0.0.1", 0), Handler)
        self.manner = manner
        self.seen: list[tuple[str, dict[str, object], dict[str, str]]] = []
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *arguments):
        """Say nothing: tests hang up on purpose."""


class Handler(BaseHTTPRequestHandler):
    """Records each request and answers in the server's manner."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        self.server.seen.append((self.path, body, dict(self.headers)))
        status, content, headers = MANNERS[self.server.manner](body, self.server)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


def libre(body, server):
    if not body.get("q"):
        return 400, {"error": "Invalid request: missing q parameter"}, {}
    if body["target"] == "xx":
        return 400, {"error": "xx is not supported"}, {}
    return 200, {"translatedText": f"{body['target']}:{body['q']}"}, {}


def easy(body, server):
    if set(body) - {"text", "target_lang", "source_lang"} or "target_lang" not in body:
        return 500, b"Internal Server Error", {"Content-Type": "text/plain"}
    return 200, {"target_lang": body["target_lang"], "translated": f"{body['target_lang']}:{body['text']}"}, {}


def slow(body, server):
    server.released.wait(20)
    return 200, {"translatedText": "late"}, {}


MANNERS = {
    "libre": libre,
    "easy": easy,
    "slow": slow,
    "redirect": lambda body, server: (302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}),
    "huge": lambda body, server: (200, b'{"translatedText": "' + b"x" * 2_000_000 + b'"}', {}),
    "html": lambda body, server: (200, b"<html>", {}),
    "empty": lambda body, server: (200, {"translatedText": " "}, {}),
    "echo": lambda body, server: (403, {"error": f"{body.get('api_key')} is no valid key"}, {}),
    "slowdown": lambda body, server: (429, {"error": "Slowdown: 2 per 1 minute"}, {}),
}


@contextmanager
def translator(manner):
    """Serve on a free port of this machine; `server.seen` has (path, body, headers) of each request."""
    server = Server(manner)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def alive(pid, seconds=5.0):
    """Say whether a process is still there after at most `seconds` of waiting for its end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        threading.Event().wait(0.02)
    return True
