"""`code-evolver dead` beside a running connector, which alone changes the queue, and without one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from code_evolver import requests
from code_evolver.commands import dead
from code_evolver.core.errors import DiskFull
from code_evolver.core.task import Refusal
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.edges.workspace import Workspace, answer_request, ask, hold
from code_evolver.ports import End
from tests.queue_helpers import task, tell


def command(folder: Path, *given: str) -> int:
    return dead.main([*given, "--json", "--workspace", str(folder)])


async def failed(queue: SqliteQueue, number: int) -> None:
    await queue.put([task(str(one)) for one in range(number)], [])
    await queue.finish([End(lease, "failed", reason="r", code="c") for lease in await queue.lease(number)])


def beside(folder: Path, story: Callable[[Workspace, SqliteQueue, list[Any]], Awaitable[None]]) -> list[Any]:
    """Play the story beside the part of a connector that answers commands; give the events."""
    told: list[Any] = []

    async def play() -> None:
        workspace = Workspace.at(folder)
        with hold(workspace, {"command": "connector"}):
            queue = SqliteQueue.open(workspace.queue)
            job = asyncio.ensure_future(
                requests.serve_requests(
                    workspace, queue, lambda name, /, **fields: told.append((name, fields)), lambda: None, pause=0.01
                )
            )
            try:
                async with asyncio.timeout(30):
                    await story(workspace, queue, told)
                assert not job.done()
            finally:
                job.cancel()
                await asyncio.wait([job])
                await queue.close()

    asyncio.run(play())
    return told


@pytest.mark.parametrize(("action", "word", "changed"), [("drop", "dropped", 10), ("retry", "retried", 7)])
def test_all_is_done_in_portions_by_the_connector(tmp_path: Path, monkeypatch, capsys, action, word, changed):
    monkeypatch.setattr(requests, "PORTION", 3)

    async def story(_workspace: Workspace, queue: SqliteQueue, _told: list[Any]) -> None:
        await failed(queue, 7)
        await queue.put([], [Refusal(0, "", "no task", str(number).encode()) for number in range(3)])
        assert await asyncio.to_thread(command, tmp_path, action, "all") == 0
        assert (await queue.counts()).dead == 10 - changed

    told = beside(tmp_path, story)
    assert json.loads(capsys.readouterr().out) == {"success": True, word: changed}
    assert sum(fields["count"] for name, fields in told if name == "queue_resumed") == (7 if action == "retry" else 0)


def test_all_is_done_where_no_connector_runs(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(requests, "PORTION", 3)
    workspace = Workspace.at(tmp_path)
    workspace.prepare()
    tell(workspace.queue, lambda queue: failed(queue, 7))
    assert command(tmp_path, "retry", "all") == 0
    assert json.loads(capsys.readouterr().out) == {"success": True, "retried": 7}
    assert command(tmp_path, "drop", "all") == 0
    assert json.loads(capsys.readouterr().out) == {"success": True, "dropped": 0}


def test_all_are_those_that_were_there_when_it_was_asked(tmp_path: Path):
    async def story(_workspace: Workspace, queue: SqliteQueue, _told: list[Any]) -> None:
        await failed(queue, 4)
        asked = {"do": "dead_retry", "keys": {"above": 0, "up_to": 2}}
        assert await requests.carry_out(asked, queue) == {"success": True, "retried": 2, "next": None}
        assert [letter.key for letter in await queue.dead_letters()] == [3, 4]

    beside(tmp_path, story)


def test_a_connector_that_does_not_answer_may_still_do_it_and_that_is_said(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(dead, "_ANSWER_SECONDS", 0.1)
    workspace = Workspace.at(tmp_path)
    with hold(workspace, {"command": "connector"}):
        tell(workspace.queue, lambda queue: failed(queue, 1))
        assert command(tmp_path, "drop", "all") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "no_answer"
    assert "may still do it" in error["message"]
    assert "status" in error["hint"]


def test_a_request_that_is_refused_is_answered_at_once(tmp_path: Path):
    async def story(workspace: Workspace, _queue: SqliteQueue, _told: list[Any]) -> None:
        keys = list(range(1_000_000, 1_200_000))
        found = await asyncio.to_thread(ask, workspace, {"do": "dead_drop", "keys": keys}, 25.0)
        assert found is not None
        assert (found["success"], found["error"]["code"]) == (False, "bad_input")
        for body in ({"do": "dead_drop", "keys": {}}, {"do": "dead_drop", "keys": {"above": "x", "up_to": 1}}):
            answer = await asyncio.to_thread(ask, workspace, body, 25.0)
            assert answer is not None
            assert not answer["success"]

    beside(tmp_path, story)


def test_an_answer_that_cannot_be_written_is_kept_and_the_request_done_once(tmp_path: Path, monkeypatch):
    tries = [0]

    def full_at_first(workspace: Workspace, request_id: str, result: Any) -> None:
        tries[0] += 1
        if tries[0] < 5:
            raise DiskFull("There is no room.", "Make some.")
        answer_request(workspace, request_id, result)

    monkeypatch.setattr(requests, "answer_request", full_at_first)

    async def story(workspace: Workspace, queue: SqliteQueue, _told: list[Any]) -> None:
        await failed(queue, 1)
        found = await asyncio.to_thread(ask, workspace, {"do": "dead_retry", "keys": [1]}, 25.0)
        assert found == {"success": True, "retried": 1}

    told = beside(tmp_path, story)
    assert [name for name, _ in told] == ["queue_resumed", "notice"]


@pytest.mark.parametrize("key", ["99999999999999999999", "9" * 5000, "0", "000"])
@pytest.mark.parametrize("action", ["show", "drop", "retry"])
def test_a_number_of_any_length_that_is_no_key_is_told_so(tmp_path: Path, capsys, action, key):
    workspace = Workspace.at(tmp_path)
    workspace.prepare()
    tell(workspace.queue, lambda queue: failed(queue, 1))
    assert command(tmp_path, action, key) == 2
    assert "dead letter" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert command(tmp_path, "drop", "0000000000000000000000001") == 0
