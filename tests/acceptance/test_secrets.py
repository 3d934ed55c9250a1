"""Canaries in every place where a secret can come from; then everything that can be read is searched for them."""

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from code_evolver.core.redact import forms
from tests.acceptance_kit import CLI, CONNECTOR, LAUNCHER, Door, environment, hub, run, until
from tests.evil_model import attacks, evil_model
from tests.tool_servers import translator

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked at through /proc")
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_PASSWORD", "MY_API_KEY", "CODE_EVOLVER_NMT_API_KEY")


@pytest.fixture
def canary():
    """Make values that stand nowhere else: canary(name) gives the same one for the same name."""
    made: dict[str, str] = {}

    def one(name: str) -> str:
        return made.setdefault(name, f"cnry{secrets.token_hex(8)}")

    one.made = made  # type: ignore[attr-defined]
    return one


class Watch:
    """Looks at all processes again and again: argument lists of every one, environments of what runs for a node."""

    def __init__(self) -> None:
        self.arguments: set[bytes] = set()
        self.children: dict[int, bytes] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(0.003):
            for folder in Path("/proc").iterdir():
                if folder.name.isdecimal():
                    self._take(folder.name)

    def _take(self, pid: str) -> None:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            self.arguments.add(words)
            if b"/child/boot.py" in words or b"tell_all.py" in words:
                self.children[int(pid)] = self.children.get(int(pid), b"") + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return  # it has ended, or is shut in and not ours to look at

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)


def found_in(canary: Any, where: str, data: bytes | str) -> list[str]:
    """Name the canaries that stand in `data`, in any of the forms in which a secret travels."""
    raw = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
    return [
        f"{name} in {where}"
        for name, value in canary.made.items()
        if any(form.encode() in raw for form in forms(value))
    ]


def search(canary: Any, workspace: Path, door: Door, result: dict[str, Any], watch: Watch | None = None) -> list[str]:
    """Search what a run left and said."""
    wrong = found_in(canary, "stderr", "\n".join(door.lines)) + found_in(canary, "stdout", json.dumps(result))
    for path in sorted(workspace.rglob("*")):
        if path.is_file():
            wrong += found_in(canary, str(path.relative_to(workspace)), path.read_bytes())
            wrong += found_in(canary, "a file's name", str(path))
    if watch:
        wrong += [text for words in watch.arguments for text in found_in(canary, f"arguments {words[:80]!r}", words)]
        wrong += [
            text for pid, data in watch.children.items() for text in found_in(canary, f"environment of {pid}", data)
        ]
    return wrong


def look_afterwards(canary: Any, workspace: Path, env: dict[str, str]) -> list[str]:
    """Search what the commands print."""
    wrong = []
    given = ["--workspace", str(workspace)]
    for words in (
        [*LAUNCHER, "--show-config", *given], [*LAUNCHER, "--show-config", "--json", *given], [*CLI, "check", "--json", *given],
        [*CLI, "check", *given], [*CLI, "dead", "list", "--json", *given], [*CLI, "dead", "show", "1", "--json", *given],
        [*CLI, "status", "--json", *given], [*CLI, "nodes", "list", "--json", *given],
    ):  # fmt: skip
        done = subprocess.run(words, capture_output=True, env=env, timeout=60, check=False)
        wrong += found_in(canary, " ".join(words[1:4]), done.stdout + done.stderr)
    return wrong


def tasks() -> list[Any]:
    known = {
        "taskName": "Summarize harbour report",
        "llmTaskType": "summarize",
        "content": "The harbour is open. Ships come.",
    }
    return [
        {"id": "k", **known},
        {"id": "u", "taskName": "Classify mail", "llmTaskType": "classify", "content": "[[obey:import_os]]"},
        17,
    ]


def secret_environment(canary: Any, **more: str) -> dict[str, str]:
    return environment(**{name: canary(name) for name in VARIABLES}, **more)


def work(server: Any, door: Door) -> dict[str, Any]:
    """Let the door work the tasks off and end; give its result."""
    try:
        until(lambda: door.process.poll() is not None or door.named("connected"), "a connection")
        assert door.process.poll() is None, door.lines
        for one in tasks():
            server.post("send", one, method="TaskHub")
        door.wait_event("task_completed")
        door.wait_event("task_dead_lettered")
        door.signal(15)
        return door.end()[1]
    finally:
        door.kill()


def token_settings(way: str, canary: Any, place: Path) -> dict[str, Any]:
    """Give the token in one of the ways that there are."""
    if way == "given":
        return {"access_token": canary("hub token")}
    (place / "token").write_text(f"{canary('hub token')}\n", encoding="utf-8")
    if way == "file":
        return {"access_token_file": str(place / "token")}
    return {"access_token_command": [sys.executable, "-c", "print(open('token').read())"]} if way == "command" else {}


@pytest.mark.parametrize("way", ["given", "file", "command", "redirect"])
def test_no_secret_leaves_a_run(way, tmp_path, canary):
    workspace = tmp_path / "ws"
    workspace.mkdir()
    settings = token_settings(way, canary, tmp_path)
    path = "/redirect" if way == "redirect" else "/secure/taskhub"
    with hub("demo", "--token", canary("hub token")) as server, evil_model(attacks(str(tmp_path / "m"))) as model:
        told = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        env = secret_environment(canary, CODE_EVOLVER_LLM_URL=model.url, CODE_EVOLVER_LLM_API_KEY=canary("model key"))
        given = {
            "hub_url": f"{server.base}{path}", "workspace": str(workspace), "headers": {"X-Extra": canary("header")}, **settings,
        }  # fmt: skip
        with Watch() as watch:
            door = Door(CONNECTOR, stdin=json.dumps(given).encode(), env=env, cwd=tmp_path)
            result = work(server, door)
    watch.arguments.discard(told)  # the test's own hub is told its token there
    assert result["workflows_generated"] == 1
    assert {headers.get("authorization") for headers in model.headers} >= {f"Bearer {canary('model key')}"}, (
        "the key was used"
    )
    assert watch.children, "trial children were seen"
    wrong = search(canary, workspace, door, result, watch) + found_in(canary, "prompts", json.dumps(model.seen))
    assert not wrong, "\n".join(wrong)
    wrong = look_afterwards(canary, workspace, env)
    assert not wrong, "\n".join(wrong)


def test_no_secret_of_the_environment_or_of_config_yaml_leaves_the_launcher(tmp_path, canary):
    workspace = tmp_path / "ws"
    workspace.mkdir()
    with hub("demo", "--token", canary("hub token")) as server, evil_model(attacks(str(tmp_path / "m"))) as model:
        told = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        backends = {"mine": {"type": "openai", "base_url": model.url, "api_key_env": "TEAM_MODEL"}}
        config = {
            "llm": {"backends": backends, "tiers": {"general": "mine"}},
            "headers": {"X-Team": canary("header of config.yaml")},
        }
        (workspace / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        env = secret_environment(
            canary, TEAM_MODEL=canary("model key"), CODE_EVOLVER_HUB_URL=f"{server.base}/secure/taskhub",
            CODE_EVOLVER_ACCESS_TOKEN=canary("hub token"), CODE_EVOLVER_WORKSPACE=str(workspace),
        )  # fmt: skip
        with Watch() as watch:
            door = Door([*LAUNCHER, "--log-format", "json"], stdin=b"", env=env, cwd=tmp_path)
            result = work(server, door)
    watch.arguments.discard(told)
    (workspace / "config.yaml").unlink()  # the user's own file: a header may stand in it
    assert any(headers.get("authorization") == f"Bearer {canary('model key')}" for headers in model.headers)
    wrong = search(canary, workspace, door, result, watch) + found_in(canary, "prompts", json.dumps(model.seen))
    assert not wrong, "\n".join(wrong)


class _Echo(BaseHTTPRequestHandler):
    """Says back what it was sent, secrets and all."""

    def do_POST(self) -> None:
        said = f"bad credentials: {self.headers.get('Authorization')} {self.headers.get('X-Extra')}"
        data = json.dumps({"error": {"message": said} if "chat" in self.path else said}).encode()
        self.send_response(401 if "chat" in self.path else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST  # noqa: N815 - the name is http.server's

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize("way", ["given", "file", "command"])
def test_a_hub_that_says_the_token_back_is_not_repeated(way, tmp_path, canary):
    settings = token_settings(way, canary, tmp_path)
    with echo() as url:
        given = {"hub_url": f"{url}/taskhub", "workspace": str(tmp_path / "ws"), "max_reconnect_attempts": 1, "llm": "off",
                 "headers": {"X-Extra": canary("header")}, **settings}  # fmt: skip
        door = Door(CONNECTOR, stdin=json.dumps(given).encode(), env=environment(), cwd=tmp_path)
        code, result = door.end()
    assert code in (4, 5), result
    assert "bad credentials" in result["error"]["message"], "the hub's words are shown"
    assert search(canary, tmp_path / "ws", door, result) == []


def test_a_model_server_that_says_the_key_back_is_not_repeated(tmp_path, canary):
    with echo() as url, hub("demo") as server:
        env = environment(CODE_EVOLVER_LLM_URL=url, CODE_EVOLVER_LLM_API_KEY=canary("model key"))
        given = {"hub_url": server.url, "workspace": str(tmp_path / "ws")}
        door = Door(CONNECTOR, stdin=json.dumps(given).encode(), env=env)
        result = work(server, door)
        checked = subprocess.run(
            [*CLI, "check", "--json", "--workspace", str(tmp_path / "ws")],
            capture_output=True,
            env=env,
            timeout=60,
            check=False,
        )
    wrong = search(canary, tmp_path / "ws", door, result) + found_in(canary, "check", checked.stdout + checked.stderr)
    assert not wrong, "\n".join(wrong)


ADDRESSES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "hub with a user": ({"hub_url": "http://user:@@@127.0.0.1:9/hub"}, {}),
    "hub with a query": ({"hub_url": "http://127.0.0.1:9/hub?access_token=@@"}, {}),
    "hub in the environment": ({}, {"CODE_EVOLVER_HUB_URL": "ftp://user:@@@host/hub"}),
    "model with a user": (
        {"hub_url": "http://127.0.0.1:9/hub"},
        {"CODE_EVOLVER_LLM_URL": "http://user:@@@127.0.0.1:9"},
    ),
    "model with a query": (
        {"hub_url": "http://127.0.0.1:9/hub"},
        {"CODE_EVOLVER_LLM_URL": "http://127.0.0.1:9/?key=@@"},
    ),
    "token that is none": ({"hub_url": "http://127.0.0.1:9/hub", "access_token": "two words @@"}, {}),
    "token of the wrong kind": ({"hub_url": "http://127.0.0.1:9/hub", "access_token": ["@@"]}, {}),
    "header of the wrong kind": ({"hub_url": "http://127.0.0.1:9/hub", "headers": {"X-Key": ["@@"]}}, {}),
    "header with a line break": ({"hub_url": "http://127.0.0.1:9/hub", "headers": {"X-Key": "@@\r\nX: y"}}, {}),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_error_about_a_secret_does_not_show_it(name, tmp_path, canary):
    settings, variables = ADDRESSES[name]
    put = canary("value")
    given = json.dumps({"workspace": str(tmp_path), "max_reconnect_attempts": 1, **settings}).replace("@@", put)
    env = environment(**{key: value.replace("@@", put) for key, value in variables.items()})
    code, printed, err = run(CONNECTOR, given.encode(), env=env)
    assert code != 0, printed
    assert found_in(canary, "output", json.dumps(printed) + err) == []
    if name.startswith("hub"):
        words = [
            *LAUNCHER,
            "--show-config",
            "--json",
            "--hub-url",
            json.loads(given).get("hub_url", env.get("CODE_EVOLVER_HUB_URL")),
        ]
        done = subprocess.run(words, capture_output=True, env=env, timeout=60, check=False)
        assert found_in(canary, "--show-config", done.stdout + done.stderr) == []


TELL = """import json, os, sys
sys.stdin.read()
print(json.dumps({"success": True, "environment": dict(os.environ), "arguments": sys.argv}))
"""
MANIFEST = """name: tell_all
type: executable
description: Says what it was given.
executable: {command: python, args: [tools/executable/tell_all.py], timeout_seconds: 20}
input_schema: {type: object, properties: {x: {type: string}}}
output_schema: {type: object}
examples: []
"""


def test_an_executable_tool_gets_none_of_our_secrets(tmp_path, canary):
    folder = tmp_path / "tools" / "executable"
    folder.mkdir(parents=True)
    (folder / "tell_all.py").write_text(TELL, encoding="utf-8")
    (folder / "tell_all.yaml").write_text(MANIFEST, encoding="utf-8")
    env = secret_environment(canary, CODE_EVOLVER_ACCESS_TOKEN=canary("hub token"))
    code, printed, err = run([*CLI, "tool", "tell_all", "--workspace", str(tmp_path)], b'{"x": "y"}', env=env)
    assert code == 0, (printed, err)
    assert "PATH" in json.loads(printed["result"])["environment"]
    assert found_in(canary, "the tool", json.dumps(printed) + err) == []


def test_a_translation_servers_key_goes_to_it_alone(tmp_path, canary):
    task = {"id": "t", "taskName": "Translation of harbour report", "llmTaskType": "translate", "content": "The harbour is open.",
            "translationLanguages": [{"from": "en", "to": "fr"}]}  # fmt: skip
    workspace = tmp_path / "ws"
    with hub("demo") as server, translator("libre") as libre:
        door = Door(
            CONNECTOR,
            stdin=json.dumps({"hub_url": server.url, "workspace": str(workspace), "llm": "off"}).encode(),
            env=environment(),
        )
        try:
            door.wait_event("connected")
            server.post("send", task, method="TaskHub")
            door.wait_event("task_completed")
            door.signal(15)
            door.end()
        finally:
            door.kill()
        (node,) = (workspace / "nodes").iterdir()
        env = secret_environment(canary, CODE_EVOLVER_NMT_URL=libre.url)
        with Watch() as watch:
            code, printed, err = run(
                [sys.executable, str(node / "main.py")], json.dumps(task).encode(), env=env, cwd=workspace
            )
    assert code == 0, (printed, err)
    assert printed["result"] == "fr:The harbour is open."
    assert libre.seen[0][1]["api_key"] == canary("CODE_EVOLVER_NMT_API_KEY")
    wrong = found_in(canary, "the node's output", json.dumps(printed) + err)
    wrong += [text for words in watch.arguments for text in found_in(canary, "arguments", words)]
    wrong += [text for data in watch.children.values() for text in found_in(canary, "the child's environment", data)]
    assert watch.children
    assert not wrong, "\n".join(wrong)
