"""A real OpenAI-compatible HTTP server that writes honest plans and programs, and errs on order.

It reads the prompt as a model would: the stage from the instructions, the task from the fenced data.
"""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from code_evolver.core.compose import compose
from code_evolver.core.preamble import PREAMBLE
from code_evolver.core.task_types import known

WAIT = 30.0
OTHER_TYPE = f'''"""Handle a text of another type: ask content_generator once."""

{PREAMBLE.rstrip()}

from node_runtime import ToolError, call_tool

TASK_TYPE = "@TYPE@"
KEYS = ("content", "prompt", "text")


def main():
    """Read one task, ask the tool, print one document."""
    task, status = {{}}, 0
    try:
        task = json.load(sys.stdin)
        if not isinstance(task, dict):
            raise ValueError("The input is no object.")
        text = next((task[key] for key in KEYS if task.get(key) is not None), None)
        if not isinstance(text, str):
            raise ValueError("The task has no text.")
        document = {{"result": call_tool("content_generator", text)}}
    except (ValueError, RecursionError) as error:
        document, status = {{"success": False, "error": {{"code": "bad_input", "message": str(error)}}}}, 2
    except ToolError as error:
        document, status = {{"success": False, "error": {{"code": error.code, "message": str(error)}}}}, 1
    if not isinstance(task, dict):
        task = {{}}
    print(json.dumps({{**document, "task_id": task.get("id", ""), "task_type": TASK_TYPE}}, ensure_ascii=False))
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
'''
Program = Callable[[dict[str, Any]], str]
Fault = Callable[["Handler"], None]


def good(task: dict[str, Any]) -> str:
    """An honest program in one fence, with the words that models put around it."""
    row = known(task["type"])
    if row is None:
        code = OTHER_TYPE.replace("@TYPE@", task["type"])
    else:
        code = compose(row, translations="translationLanguages" in task, fields=tuple(task["fields"])).decode()
    return f"<think>Let me see.</think>\nHere is the program:\n\n```python\n{code}```\n\nIt follows every rule."


def fenced(code: str) -> Program:
    return lambda _task: f"```python\n{code}\n```"


def cuts_the_text(task: dict[str, Any]) -> str:
    """Nearly right: the tool gets only the beginning of the text."""
    return (
        good(task).replace('r", text)', 'r", text[:40])').replace('r", read_text(task))', 'r", read_text(task)[:40])')
    )


def prose(_task: dict[str, Any]) -> str:
    return "I am afraid that I cannot write this program."


class ModelServer(ThreadingHTTPServer):
    """Answers in its own threads. `programs`: what is written, in order (the last again and again), by model."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, *programs: Program, port: int = 0, key: str = "", by_model: dict[str, Sequence[Program]] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.programs = programs or (good,)
        self.by_model = by_model or {}
        self.key = key
        self.faults: list[Fault] = []
        """What befalls the next questions, one each, before any is answered."""
        self.asked: list[tuple[str, str, str]] = []
        """(stage, model, user's message)."""
        self.written: dict[str, int] = {}
        self.arrived = threading.Event()
        self.released = threading.Event()
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stages(self) -> list[str]:
        with self.lock:
            return [stage for stage, _, _ in self.asked]

    def kill(self) -> None:
        """End as a crash would: no new connections, the open ones reset."""
        self.shutdown()
        self.server_close()
        self.released.set()
        with self.lock:
            left = list(self.open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join(WAIT)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""

    def next_program(self, model: str) -> Program:
        with self.lock:
            order = self.by_model.get(model, self.programs)
            place = self.written.get(model, 0)
            self.written[model] = place + 1
        return order[min(place, len(order) - 1)]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: ModelServer

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.open.add(self.connection)

    def finish(self) -> None:
        with self.server.lock:
            self.server.open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Silence."""

    def do_GET(self) -> None:
        if self.refused():
            return
        names = sorted({"tiny", *self.server.by_model})
        self.answer(200, {"data": [{"id": name, "object": "model"} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.refused():
            return
        words = body["messages"][-1]["content"]
        stage = stage_of(words)
        with self.server.lock:
            self.server.asked.append((stage, body["model"], words))
            fault = self.server.faults.pop(0) if self.server.faults and stage != "probe" else None
        self.server.arrived.set()
        if fault:
            fault(self)
            return
        self.chat(self.words_of(stage, body, words), len(words) // 4)

    def refused(self) -> bool:
        if not self.server.key or self.headers.get("authorization") == f"Bearer {self.server.key}":
            return False
        self.answer(
            401,
            {
                "error": {
                    "message": "Incorrect API key provided",
                    "type": "invalid_request_error",
                    "code": "invalid_api_key",
                }
            },
        )
        return True

    def words_of(self, stage: str, body: dict[str, Any], words: str) -> str:
        if stage == "probe":
            return '{"zq7": 1}' if "response_format" in body else "Hello."
        if stage == "plan":
            kind = task_of(words)["type"]
            tools = {
                "summarize": ["summarizer"],
                "generate": ["content_generator"],
                "translate": ["nmt_translator"],
            }.get(kind, ["content_generator"])
            if "translationLanguages" in task_of(words) and kind in ("summarize", "generate"):
                tools = [*tools, "quick_translator"]
            return json.dumps(
                {"title": f"Does {kind} work", "description": f"Handles {kind} tasks with its tool.", "tools": tools}
            )
        if stage in ("code", "repair"):
            return self.server.next_program(body["model"])(task_of(words))
        return "ready"

    def chat(self, text: str, tokens_in: int, finish: str = "stop") -> None:
        self.answer(200, {
            "id": "c", "object": "chat.completion", "model": "tiny",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
            "usage": {"prompt_tokens": tokens_in, "completion_tokens": max(1, len(text) // 4)},
        })  # fmt: skip

    def answer(self, status: int, value: Any, **headers: str) -> None:
        data = json.dumps(value).encode()
        with suppress(OSError):
            self.send_response(status)
            for name, said in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, said)
            self.end_headers()
            self.wfile.write(data)


def stage_of(words: str) -> str:
    for stage, mark in (("plan", "Plan a program"), ("code", "Write the program now"), ("repair", "Mend every point"),
                        ("probe", "Say hello"), ("check", "Answer with one word")):  # fmt: skip
        if mark in words:
            return stage
    return "tool"


def task_of(words: str) -> dict[str, Any]:
    block = re.search(r"(`{3,})json\n(.*?)\n\1", words, re.DOTALL)
    assert block is not None
    found: dict[str, Any] = json.loads(block.group(2))
    return found


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def status(number: int, message: str, **headers: str) -> Fault:
    return lambda handler: handler.answer(number, {"error": {"message": message}}, **headers)


def silence(handler: Handler) -> None:
    """Say nothing until the server ends."""
    handler.server.released.wait(WAIT)


def half(handler: Handler) -> None:
    """Begin an answer and say nothing more until the server ends."""
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n" + b'{"choices": ['
    )
    handler.wfile.flush()
    handler.server.released.wait(WAIT)


def plan(handler: Handler) -> None:
    """A good plan, so that the next fault befalls the question for the program."""
    handler.chat('{"title": "Does it", "description": "Does the work.", "tools": []}', 9)


def cut_short(handler: Handler) -> None:
    """A program that was cut at the cap."""
    handler.chat("```python\nimport json\nprint(json.dumps({", 100, "length")


@contextmanager
def model_server(*programs: Program, **more: Any) -> Iterator[ModelServer]:
    """Run one for a test."""
    server = ModelServer(*programs, **more)
    try:
        yield server
    finally:
        server.kill()
