"""Bad input through the real doors: a clear error, the documented exit code, one document on stdout, nothing lost."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys

import pytest

from tests.acceptance_kit import (
    CLI,
    CONNECTOR,
    DOCUMENT,
    ENGLISH,
    LAUNCHER,
    ROOT,
    VERIFY,
    connector,
    environment,
    hub,
    needs_ascii_path,
    run,
    until,
)
from tests.ports import free_port

DOORS = {"connector": CONNECTOR, "english": ENGLISH, "verify": VERIFY, "document": DOCUMENT}
BAD_STDIN = {
    "empty": b"",
    "only spaces": b"  \n ",
    "no JSON": b"{nope",
    "two documents": b'{"hub_url": "http://localhost:1/x"} {"hub_url": "http://localhost:1/x"}',
    "a list": b"[1, 2]",
    "broken UTF-8": b'{"hub_url": "\xff\xfe\xfa"}',
    "broken UTF-16": b"\xff\xfe{\x00\x00\xd8",
    "lone surrogate": b'{"hub_url": "http://localhost:1/\\ud800"}',
    "fifty megabytes": b'{"hub_url": "' + b"x" * 50_000_001 + b'"}',
    "depth 10,000": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "unknown key": b'{"hub_urll": "http://localhost:1/x"}',
    "duplicate key": b'{"hub_url": "http://localhost:1/x", "hub_url": "http://localhost:2/x"}',
    "NaN": b'{"hub_url": "http://localhost:1/x", "duration_seconds": NaN}',
}


@pytest.mark.parametrize("bad", BAD_STDIN)
@pytest.mark.parametrize("door", DOORS)
def test_bad_stdin_is_answered(door, bad, tmp_path):
    code, printed, _ = run(DOORS[door], BAD_STDIN[bad], cwd=tmp_path)
    assert code == 2, printed
    assert printed["success"] is False
    error = printed["error"]
    assert error["message"]
    assert error["hint"]
    assert not (tmp_path / ".code_evolver").exists()


BAD_SETTINGS = [
    ({}, "hub_url"),
    ({"hub_url": 5}, "hub_url"),
    ({"hub_url": "ftp://localhost/x"}, "hub_url"),
    ({"hub_url": "http://localhost:99999/x"}, "hub_url"),
    ({"hub_url": "http://user:pw@localhost/x"}, "hub_url"),
    ({"hub_url": "http://localhost:1/x", "duration_seconds": -1}, "duration_seconds"),
    ({"hub_url": "http://localhost:1/x", "duration_seconds": "soon"}, "duration_seconds"),
    ({"hub_url": "http://localhost:1/x", "durations_seconds": 5}, "duration_seconds"),
    ({"hub_url": "http://localhost:1/x", "hub_name": ""}, "hub_name"),
    ({"hub_url": "http://localhost:1/x", "subscribe": "Work"}, "subscribe"),
    ({"hub_url": "http://localhost:1/x", "max_message_bytes": 1.5}, "max_message_bytes"),
    ({"hub_url": "http://localhost:1/x", "auto_generate_workflows": "yes"}, "auto_generate_workflows"),
    ({"hub_url": "http://localhost:1/x", "llm": "maybe"}, "llm"),
    ({"hub_url": "http://localhost:1/x", "access_token": "a", "access_token_file": "b"}, "access_token"),
]


@pytest.mark.parametrize(("settings", "key"), BAD_SETTINGS)
def test_a_bad_setting_is_named(settings, key, tmp_path):
    code, printed, _ = run(CONNECTOR, json.dumps(settings).encode(), cwd=tmp_path)
    assert code == 2
    assert key in printed["error"]["message"] + printed["error"]["hint"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_what_powershell_sends_is_good_input(encoding, tmp_path):
    text = "listen to http://localhost:5000/taskhub for 5 minutes"
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    code, printed, _ = run([*ENGLISH, "--dry-run"], data, cwd=tmp_path)
    assert code == 0, printed
    assert printed["config"]["hub_url"] == "http://localhost:5000/taskhub"
    assert printed["config"]["duration_seconds"] == 300


def try_hub(url, tmp_path, **more):
    settings = {"hub_url": url, "max_reconnect_attempts": 1, "workspace": str(tmp_path), "llm": "off", **more}
    return run(CONNECTOR, json.dumps(settings).encode())


def test_a_refused_connection(tmp_path):
    code, printed, err = try_hub(f"http://127.0.0.1:{free_port()}/taskhub", tmp_path)
    assert (code, printed["error"]["code"], printed["error"]["retryable"]) == (5, "hub_unreachable", True)
    assert '"connection_failed_permanently"' in err
    assert printed["tasks_received"] == 0


def test_a_hub_that_is_never_reached_before_the_time_runs_out_is_no_success(tmp_path):
    url = f"http://127.0.0.1:{free_port()}/taskhub"
    code, printed, _ = try_hub(url, tmp_path, max_reconnect_attempts=0, duration_seconds=1.5)
    assert (code, printed["success"], printed["error"]["code"]) == (5, False, "hub_unreachable")
    assert "never reached" in printed["error"]["message"]


def test_a_name_that_does_not_resolve(tmp_path):
    code, printed, _ = try_hub("http://no-such-host.invalid/taskhub", tmp_path)
    assert (code, printed["error"]["code"]) == (5, "hub_unreachable")


def test_a_page_that_is_no_hub(tmp_path):
    with hub("demo") as server:
        code, printed, _ = try_hub(f"{server.base}/nothing", tmp_path)
    assert (code, printed["error"]["code"]) == (5, "hub_refused")
    assert "404" in printed["error"]["message"]


FAULTS = {
    "html": ({"negotiate": "html"}, 5, "hub_refused"),
    "forbidden": ({"negotiate_status": 403}, 4, "hub_authentication"),
    "unauthorized": ({"negotiate_status": 401}, 4, "hub_authentication"),
    "redirect loop": ({"negotiate": "redirect_loop"}, 5, "hub_refused"),
    "classic": ({"negotiate": "classic"}, 5, "hub_refused"),
    "server error": ({"negotiate_status": 500}, 5, "hub_unreachable"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_hub_that_answers_oddly(name, tmp_path):
    fault, exit_code, error = FAULTS[name]
    with hub("demo") as server:
        server.post("fault", fault)
        code, printed, _ = try_hub(server.url, tmp_path)
    assert (code, printed["error"]["code"]) == (exit_code, error), printed
    if name == "classic":
        assert "ASP.NET SignalR" in printed["error"]["message"]


def test_a_hub_that_wants_a_token(tmp_path):
    with hub("demo", "--token", "S3CRET-token") as server:
        url = f"{server.base}/secure/taskhub"
        code, printed, _ = try_hub(url, tmp_path)
        assert (code, printed["error"]["code"]) == (4, "hub_authentication")
        assert "access_token" in printed["error"]["hint"]
        code, printed, err = try_hub(url, tmp_path, access_token="S3CRET-wrong")
        assert code == 4
        assert "S3CRET-wrong" not in json.dumps(printed) + err
        (tmp_path / "token").write_text("S3CRET-token\n", encoding="utf-8")
        door = connector({"hub_url": url, "workspace": str(tmp_path), "access_token_file": str(tmp_path / "token")})
        try:
            door.wait_event("connected")
            door.signal(signal.SIGTERM)
            code, printed = door.end()
        finally:
            door.kill()
        assert code == 0, printed
        assert "S3CRET" not in json.dumps(printed) + "\n".join(door.lines)


@pytest.mark.parametrize("limit", [{"max_reconnect_attempts": 1}, {"max_reconnect_attempts": 0, "duration_seconds": 4}])
def test_a_token_command_that_never_works_is_named_whether_attempts_or_time_run_out(limit, tmp_path):
    url = f"http://127.0.0.1:{free_port()}/taskhub"  # nobody is asked without a token
    code, printed, _ = try_hub(url, tmp_path, access_token_command="false", **limit)
    error = printed["error"]
    assert (code, error["code"], error["retryable"]) == (4, "hub_authentication", True)
    assert "The token command ended with exit code 1." in error["message"]
    assert "access_token_command" in error["hint"]


def test_a_certificate_that_nobody_signed(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], capture_output=True, check=False,
    ) if shutil.which("openssl") else None  # fmt: skip
    if made is None or made.returncode:
        pytest.skip("openssl is not here to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        door = connector(
            {"hub_url": f"https://127.0.0.1:{port}/x", "max_reconnect_attempts": 1, "workspace": str(tmp_path / "w")}
        )
        connection, _ = listening.accept()
        with connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)
        code, printed = door.end()
    assert (code, printed["error"]["code"]) == (5, "hub_refused")
    assert "certificate" in printed["error"]["message"].lower()
    assert "ca_file" in printed["error"]["hint"]


@pytest.mark.parametrize("what", ["object", "folder", "missing folder", "text"])
def test_an_output_file_that_may_not_be_touched(what, tmp_path):
    target = tmp_path / "tasks.json"
    if what == "object":
        target.write_text('{"a": 1}', encoding="utf-8")
    elif what == "text":
        target.write_text("my diary", encoding="utf-8")
    elif what == "folder":
        target.mkdir()
    else:
        target = tmp_path / "nowhere" / "tasks.json"
    before = target.read_bytes() if target.is_file() else None
    code, printed, err = try_hub(f"http://127.0.0.1:{free_port()}/x", tmp_path, output_file=str(target))
    assert (code, printed["success"]) == (2, False)
    assert '"connecting"' not in err
    assert (target.read_bytes() if target.is_file() else None) == before


def ordinary(command):
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs root to become an ordinary user")
def test_a_folder_that_may_not_be_written(tmp_path):
    if subprocess.run(
        ordinary([sys.executable, "-c", f"open({str(ROOT / 'pyproject.toml')!r})"]), check=False, capture_output=True
    ).returncode:
        pytest.skip("this checkout cannot be read by an ordinary user")
    folder = tmp_path / "readonly"
    folder.mkdir()
    code, printed, _ = run(
        ordinary(CONNECTOR), json.dumps({"hub_url": "http://127.0.0.1:1/x", "workspace": str(folder)}).encode(), cwd="/"
    )
    assert code == 3, printed
    assert str(folder) in printed["error"]["message"]


def test_a_damaged_registry_and_record_are_told_and_mended(tmp_path):
    code, _, _ = run([*LAUNCHER, "--demo", "--workspace", str(tmp_path)])
    assert code == 0
    (tmp_path / "registry.json").write_text("{", encoding="utf-8")
    (tmp_path / "nodes" / "summarize_invoice" / "node.json").write_text("{", encoding="utf-8")
    (tmp_path / ".code_evolver" / "index.db").unlink()
    code, printed, err = run([*CLI, "work", "--workspace", str(tmp_path), "--llm", "off", "--json"])
    assert code == 0, printed
    assert "nodes/summarize_invoice/node.json is damaged" in err
    listed = json.loads((tmp_path / "registry.json").read_text(encoding="utf-8"))["nodes"]
    assert len(listed) == 7


def test_a_damaged_manifest_is_named_with_its_line(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "my_tool.yaml").write_text("name: my_tool\ntype: llm\nunknown_key: 1\n", encoding="utf-8")
    code, printed, _ = try_hub("http://127.0.0.1:1/x", tmp_path)
    assert (code, printed["error"]["code"]) == (3, "bad_manifest")
    assert "my_tool.yaml, line" in printed["error"]["message"]


NAMES = [
    "../x",
    "..",
    "CON",
    "🙂",
    "x" * 10_000,
    "/etc/passwd",
    "a\x00b",
    "node_runtime",
    "json",
    "Summarize ../../etc",
    "  ",
    "Straße nach Köln",
    "Δοκιμή",
]


def test_no_name_of_a_hub_leads_anywhere_but_to_a_safe_folder(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path / "w")})
        try:
            door.wait_event("connected")
            tasks = [
                {"id": f"n-{at}", "taskName": name, "llmTaskType": "summarize", "content": "x"}
                for at, name in enumerate(NAMES)
            ]
            server.post("send", tasks, method="TaskHub")
            saved = door.wait_event("task_completed", len(NAMES))
            door.signal(signal.SIGTERM)
            code, _ = door.end()
        finally:
            door.kill()
    assert code == 0
    assert all(
        event["node_id"].replace("_", "").isalnum() and event["node_id"].isascii() and len(event["node_id"]) <= 64
        for event in saved
    )
    assert {path.name for path in tmp_path.iterdir()} == {"w"}


def test_a_closed_stdout_is_no_crash(tmp_path):
    command = f"{sys.executable} {CONNECTOR[1]} < settings.json | true"
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, timeout=60, check=False, env=environment()
    )
    assert b"Traceback" not in done.stderr


def stored(workspace):
    return run([*CLI, "status", "--workspace", str(workspace), "--json"])[1]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_of_events_that_goes_away_costs_no_task(tmp_path):
    with hub("demo") as server:
        settings = json.dumps({"hub_url": server.url, "workspace": str(tmp_path), "llm": "off"}).encode()
        process = subprocess.Popen(
            CONNECTOR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        process.stdin.write(settings)
        process.stdin.close()
        process.stderr.readline()
        process.stderr.close()
        try:
            server.wait_for_client()
            tasks = [
                {"id": f"t-{n}", "taskName": "Summarize x", "llmTaskType": "summarize", "content": str(n)}
                for n in range(100)
            ]
            server.post("send", tasks, method="TaskHub")
            until(lambda: (stored(tmp_path)["received"], stored(tmp_path)["pending"]) == (100, 0), "100 tasks to end")
        finally:
            process.send_signal(signal.SIGTERM)
            out = process.stdout.read()
            process.stdout.close()
            code = process.wait(60)
    result = json.loads(out)
    assert code == 0
    assert result["tasks_received"] == 100
    assert result["tasks_failed"] == 0


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is POSIX")
def test_a_reader_of_events_that_stands_still_holds_up_nothing(tmp_path):
    with hub("demo") as server:
        settings = json.dumps({"hub_url": server.url, "workspace": str(tmp_path), "llm": "off"}).encode()
        process = subprocess.Popen(
            CONNECTOR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )
        process.stdin.write(settings)
        process.stdin.close()
        try:
            server.wait_for_client()
            tasks = [
                {"id": f"t-{n}", "taskName": "Summarize x", "llmTaskType": "summarize", "content": str(n)}
                for n in range(2000)
            ]
            server.post(
                "send", tasks, method="TaskHub"
            )  # their events are far more than a pipe holds, and nobody reads

            def all_done():
                status = stored(tmp_path)
                return status["generated"] + status["reused"] == 2000

            until(all_done, "2,000 tasks to end")
        finally:
            process.send_signal(signal.SIGTERM)
            out = process.stdout.read()
            process.wait(60)
            process.stdout.close()
            process.stderr.close()
    assert json.loads(out)["tasks_received"] == 2000


@pytest.mark.parametrize(
    "surroundings",
    [
        pytest.param({"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}, marks=needs_ascii_path),
        {"NO_COLOR": "1"},
        {"COLUMNS": "40"},
    ],
)
def test_odd_surroundings_change_nothing(surroundings, tmp_path):
    code, printed, err = run(
        [*LAUNCHER, "--demo", "--workspace", str(tmp_path / "wörk späce")], env=environment(**surroundings)
    )
    assert code == 0, err
    assert printed["workflows_generated"] == 8
    assert "\x1b" not in err
