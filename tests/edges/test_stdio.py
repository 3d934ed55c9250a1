"""The door of a tool, through real processes: one document on stdout whatever comes in and whatever happens."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance_kit import needs_ascii_path

SRC = str(Path(__file__).parents[2] / "src")
PROGRAM = """
import os, subprocess, sys, logging
from code_evolver.core.errors import HubUnreachable, InputError
from code_evolver.edges.stdio import Finished, read_text_input, serve, serve_async

def run(given):
    act = given.get("act")
    if act == "stray":
        print("stray print")
        sys.stdout.buffer.write(b"stray bytes\\n")
        os.write(1, b"stray descriptor\\n")
        subprocess.run([sys.executable, "-c", "print('stray child')"], check=True)
    if act == "bug":
        raise KeyError("Bearer canary-12345")
    if act == "exit":
        sys.exit(3)
    if act == "nan":
        return {"n": float("nan")}
    if act == "hub":
        raise HubUnreachable("The hub at x is down.", "Start it.")
    if act == "counts":
        return Finished.failed(HubUnreachable("Gone.", "Wait."), {"tasks_received": 3})
    if act == "seven":
        return Finished({"success": True, "tasks_failed": 1}, 7)
    if act == "interrupt":
        raise KeyboardInterrupt
    if act == "noise":
        for number in range(2000):
            print("noise" * 50)
            print("noise" * 50, file=sys.stderr)
    return {"got": given}

async def run_async(given):
    return run(given)

mode = sys.argv[1] if len(sys.argv) > 1 else ""
if mode == "text":
    sys.exit(serve(run, read=read_text_input))
sys.exit(serve_async(run_async) if mode == "async" else serve(run, usage="usage: pipe JSON in"))
"""


def start(data, *arguments, env=None, **more):
    environment = {**os.environ, "PYTHONPATH": SRC, **(env or {})}
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=60, env=environment, check=False, **more)


def document(done):
    assert done.stdout.endswith(b"\n")
    assert done.stdout.count(b"\n") == 1
    return json.loads(done.stdout.decode("utf-8"))


@pytest.mark.parametrize(
    "data",
    [
        '{"a": "é😀"}'.encode(),
        b"\xef\xbb\xbf" + '{"a": "é😀"}'.encode(),
        '{"a": "é😀"}'.encode("utf-16"),
        b"\xfe\xff" + '{"a": "é😀"}\r\n'.encode("utf-16-be"),
        b'\r\n {"a": "\\u00e9\\ud83d\\ude00"} \n',
    ],
)
@needs_ascii_path
def test_utf8_and_utf16_with_a_mark_are_good_input(data):
    done = start(data, env={"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"})
    assert document(done) == {"success": True, "got": {"a": "é😀"}}
    assert "é😀".encode() in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"hello", "Not valid JSON"),
        (b'{"a": 1', "Not valid JSON"),
        (b'{"a": 1}{"b": 2}', "Not valid JSON"),
        (b'{"a": 1}\n{"b": 2}\n', "Not valid JSON"),
        (b"[1]", "a list"),
        (b"5", "a number"),
        (b"null", "null"),
        (b'"x"', "a string"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"\xff\xfe{", "not UTF-16"),
        (b"\xff\xfe\x00\xd8{\x00", "not UTF-16"),
        ('{"a": 1}'.encode("utf-16-le"), "Not valid JSON"),
        (b"[" * 10_000, "deeper"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "deeper"),
        (b'{"a": "' + b"x" * 50_000_001 + b'"}', "too large"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "Not valid JSON"),
    ],
)
def test_bad_input_is_one_clear_failure_with_exit_code_two(data, words):
    done = start(data)
    failed = document(done)
    assert failed["success"] is False
    assert failed["error"]["code"] in {"bad_input", "bad_json"}
    assert words in failed["error"]["message"]
    assert failed["error"]["hint"]
    assert done.returncode == 2


def test_nothing_but_the_document_reaches_stdout():
    done = start(b'{"act": "stray"}')
    assert document(done)["success"] is True
    for words in (b"stray print", b"stray bytes", b"stray descriptor", b"stray child"):
        assert words in done.stderr


@pytest.mark.parametrize(
    ("act", "code", "exit_code"),
    [
        ("hub", "hub_unreachable", 5),
        ("bug", "unexpected", 1),
        ("exit", "unexpected", 1),
        ("nan", "unexpected", 1),
        ("interrupt", "interrupted", 130),
    ],
)
@pytest.mark.parametrize("mode", ["plain", "async"])
def test_a_failure_is_a_document_with_its_class_own_exit_code(act, code, exit_code, mode):
    done = start(json.dumps({"act": act}).encode(), mode)
    failed = document(done)
    assert (failed["success"], failed["error"]["code"], done.returncode) == (False, code, exit_code)
    assert set(failed["error"]) == {"code", "message", "hint", "retryable"}


def test_a_bug_leaves_its_trace_on_stderr_as_one_line_of_json_without_secrets():
    done = start(b'{"act": "bug"}')
    event = json.loads(done.stderr)
    assert (event["event"], "KeyError" in event["traceback"]) == ("failed", True)
    assert b"canary-12345" not in done.stdout + done.stderr.replace(b'raise KeyError(\\"Bearer canary-12345\\")', b"")


def test_a_result_may_have_counts_and_an_exit_code_of_its_own():
    failed = start(b'{"act": "counts"}')
    assert (document(failed)["tasks_received"], failed.returncode) == (3, 5)
    seven = start(b'{"act": "seven"}')
    assert (document(seven)["success"], seven.returncode) == (True, 7)


@pytest.mark.parametrize(("act", "exit_code"), [("", 0), ("seven", 7), ("hub", 5)])
@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_of_stdout_that_is_gone_is_no_failure(act, exit_code):
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps({"act": act}).encode(),
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": SRC},
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (exit_code, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows are not made non-blocking")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_non_blocking_pipe_with_a_slow_reader_is_written_whole(stream):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    words = "x" * 1_000_000 if stream == "stdout" else ""
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: writing}
    with tempfile.TemporaryFile() as given, os.fdopen(reading, "rb") as received:
        given.write(json.dumps({"act": "noise" if stream == "stderr" else "", "words": words}).encode())
        given.seek(0)
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=given, **pipes, env={**os.environ, "PYTHONPATH": SRC}
        ) as process:
            os.close(writing)
            with contextlib.suppress(subprocess.TimeoutExpired):  # whoever gives up at a full pipe ends here
                process.wait(1.5)
            got = received.read()
            assert process.wait(60) == 0
    if stream == "stdout":
        assert json.loads(got)["got"]["words"] == words
    else:
        assert got.count(b"noise") == 2000 * 50 * 2


@pytest.mark.skipif(sys.platform == "win32", reason="closes a pipe as POSIX does")
def test_a_reader_of_stderr_that_is_gone_does_no_harm():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=b'{"act": "noise"}',
        stdout=subprocess.PIPE,
        stderr=writing,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": SRC},
    )
    os.close(writing)
    assert (document(done)["success"], done.returncode) == (True, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="uses a shell's closed descriptors")
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_descriptors_do_no_harm(closed):
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, PROGRAM],
        input=b'{"act": "stray"}',
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": SRC},
    )
    assert done.returncode == (2 if "0<&-" in closed else 0)
    assert b"stray " not in done.stdout
    if "1>&-" not in closed:
        document(done)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told_by_the_exit_code():
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=b"{}",
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": SRC},
        )
    assert done.returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_terminal_as_stdin_gives_help_at_once():
    import pty  # POSIX only

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        stdin=theirs,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": SRC},
    )
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, document(done)["error"]["hint"]) == (2, "usage: pipe JSON in")
    assert b"usage: pipe JSON in" in done.stderr


@pytest.mark.parametrize(
    ("data", "request_text"),
    [
        (b"listen to http://localhost:5000/x\r\n", "listen to http://localhost:5000/x"),
        (b'{"request": " listen to x "}', "listen to x"),
        ("höre zu".encode("utf-16"), "höre zu"),
        (b'"quoted" words', '"quoted" words'),
    ],
)
def test_a_request_is_plain_text_or_an_object(data, request_text):
    assert document(start(data, "text"))["got"] == {"request": request_text}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n",
        b'{"request": ""}',
        b'{"request": 5}',
        b'{"reqest": "x"}',
        b'{"request": "x", "b": 1}',
        b"{broken",
        b"\xff\xff",
        b"a\0b",
    ],
)
def test_a_request_that_is_none_is_bad_input(data):
    done = start(data, "text")
    assert document(done)["success"] is False
    assert done.returncode == 2
