"""A real llama.cpp server with random weights writes the programs: no bad node is saved, and every task comes to an end.

Random prose holds no program, so a third of the answers is put into a fence as it is, and another third is asked for as
JSON with the program in it: then some of it parses as Python and goes as far as the proof. CODE_EVOLVER_GARBAGE=200 for the whole measure.
"""

import itertools
import json
import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml

from code_evolver.core.compose import compose
from code_evolver.core.task_types import TASK_TYPES
from tests.acceptance_kit import CLI, ROOT, adds_up, connector, environment, hub, run
from tests.llm_server import llama, unavailable

COUNT = int(os.environ.get("CODE_EVOLVER_GARBAGE", "20"))
SECONDS = 90 if COUNT <= 20 else COUNT * 10
PROGRAM = {
    "type": "object",
    "properties": {"workflow_code": {"type": "string", "minLength": 1}},
    "required": ["workflow_code"],
}
FREE = {"temperature": 1.5, "logit_bias": [[2, 1.5]], "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Token 2 is the end of the text; the server's usual cuts would keep it from being chosen."""
SHORT = {"temperature": 0.6}
SYLLABLES = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]


class Between(BaseHTTPRequestHandler):
    """Passes questions on, so asked that the random model comes to an end by itself; what comes back for a program is left, fenced, or asked for as JSON, in turn."""

    protocol_version = "HTTP/1.1"
    server: "BetweenServer"
    turns = itertools.count()

    def log_message(self, format, *args):  # noqa: A002 - the base class names it so
        """Silence."""

    def do_GET(self):
        self.send(httpx.get(f"{self.server.target}{self.path}", timeout=60))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        is_program = "response_format" not in body and "whole program" in body["messages"][-1]["content"]
        way = next(self.turns) % 3 if is_program else 0
        if way == 2:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "p", "schema": PROGRAM}}
        answer = httpx.post(
            f"{self.server.target}{self.path}",
            json={**body, **(SHORT if "response_format" in body else FREE)},
            timeout=120,
        )
        value = answer.json()
        if way == 1 and answer.status_code == 200:
            message = value["choices"][0]["message"]
            message["content"] = f"```python\n{message['content']}\n```"
        self.send(answer, json.dumps(value).encode())

    def send(self, answer, data=None):
        data = answer.content if data is None else data
        with suppress(OSError):
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)


class BetweenServer(ThreadingHTTPServer):
    daemon_threads = True
    target = ""


@contextmanager
def garbage_server():
    if why := unavailable():
        pytest.skip(why)
    with llama(0, "--parallel", "1") as real, BetweenServer(("127.0.0.1", 0), Between) as server:
        server.target = real.url
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            server.shutdown()
            thread.join(10)


def prepare(folder, url):
    """A workspace with a router of its own: without the rules, which the model would take seconds to read byte by byte."""
    shipped = (ROOT / "tools" / "llm" / "task_to_workflow_router.yaml").read_text(encoding="utf-8")
    router = yaml.safe_load(shipped)
    router["llm"] |= {"max_tokens": 600, "prompt_template": "{task}\n\n{findings}\n\n{instructions}"}
    (folder / "tools" / "llm").mkdir(parents=True)
    (folder / "tools" / "llm" / "task_to_workflow_router.yaml").write_text(yaml.safe_dump(router), encoding="utf-8")
    section = {"backends": {"wild": {"type": "openai", "base_url": url}}, "tiers": {"general": "wild/tiny-random"}}
    (folder / "config.yaml").write_text(json.dumps({"llm": section}), encoding="utf-8")


def garbage_tasks(count):
    """Known types with a subject of their own each, and types that nobody knows."""
    kinds = ["summarize", "classify", "generate", "extract", "translate"]
    words = ("".join(parts) for parts in itertools.product(SYLLABLES, SYLLABLES[::7], ["ron", "lem"]))
    return [
        {"id": f"g-{n}", "taskName": f"{kinds[n % 5]} {word}", "llmTaskType": kinds[n % 5], "content": f"Text number {n}.",
         "translationLanguages": [{"from": "en", "to": "fr"}][: 1 if kinds[n % 5] == "translate" else n % 2]}
        for n, word in zip(range(count), words, strict=False)
    ]  # fmt: skip


@pytest.mark.llm
@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 330)  # the first run installs the server
def test_garbage_makes_no_node_and_every_task_ends_composed_or_in_a_dead_letter_with_its_drafts(tmp_path):
    began = time.monotonic()
    tasks = garbage_tasks(COUNT)
    known = {task["id"]: task for task in tasks if task["llmTaskType"] in TASK_TYPES}
    with garbage_server() as url, hub("demo") as server:
        prepare(tmp_path, url)
        door = connector(
            {"hub_url": server.url, "workspace": str(tmp_path), "llm": "auto", "model_per": "node"}, env=environment()
        )
        try:
            door.wait_event("connected")
            server.post("send", tasks, method="TaskHub")
            door.wait_event("task_completed", len(known), SECONDS)
            door.wait_event("task_dead_lettered", COUNT - len(known), SECONDS)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 7
    assert adds_up(result)
    assert (result["workflows_generated"], result["tasks_failed"], result["tasks_pending"]) == (
        len(known),
        COUNT - len(known),
        0,
    )
    check_nodes(tmp_path, known)
    letters = dead_letters(tmp_path)
    assert len(letters) == COUNT - len(known)
    for letter in letters:
        assert letter["drafts"] or letter["code"] == "llm_truncated", letter["reason"]
        assert all(draft["findings"] and draft["prompt"] and draft["answer"] for draft in letter["drafts"])
    tell(door, letters, result, time.monotonic() - began)


def check_nodes(folder, known):
    """Every node is the composer's program, byte for byte."""
    nodes = list((folder / "nodes").iterdir())
    assert len(nodes) == len(known)
    for path in nodes:
        record = json.loads((path / "node.json").read_text(encoding="utf-8"))
        task = known[record["source_task"]]
        row = TASK_TYPES[task["llmTaskType"]]
        assert record["generator"]["kind"] == "composer"
        assert (path / "main.py").read_bytes() == compose(
            row, translations=bool(task["translationLanguages"]), fields=("content",)
        )


def dead_letters(folder):
    _, listed, _ = run([*CLI, "dead", "list", "--limit", "1000", "--workspace", str(folder), "--json"])
    return [
        run([*CLI, "dead", "show", str(one["key"]), "--workspace", str(folder), "--json"])[1] for one in listed["dead"]
    ]


def tell(door, letters, result, seconds):
    """Put the figures where CODE_EVOLVER_GARBAGE_REPORT says."""
    refused = door.named("workflow_rejected")
    rules = [event["findings"][0]["rule"] for event in refused]
    figures = {
        "tasks": COUNT, "seconds": round(seconds, 1), "drafts refused": len(refused), "first findings": {rule: rules.count(rule) for rule in set(rules)},
        "truncated": sum(event["kind"] == "truncated" for event in door.named("llm_failed")),
        "dead letters without a draft": sum(not letter["drafts"] for letter in letters), "llm": result["llm"],
    }  # fmt: skip
    if path := os.environ.get("CODE_EVOLVER_GARBAGE_REPORT"):
        Path(path).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
