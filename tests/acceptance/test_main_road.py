"""The main job through every door, on the demo hub and on the real one."""

import json
import signal
import sys

import pytest

from tests.acceptance_kit import (
    CLI,
    CONNECTOR,
    ENGLISH,
    HUBS,
    LAUNCHER,
    Door,
    adds_up,
    connector,
    environment,
    hub,
    run,
    until,
)


def summarize(key, name="Summarize daily report", **more):
    return {"id": key, "taskName": name, "llmTaskType": "summarize", "content": f"Report {key}. All is well.", **more}


def mixed(count):
    kinds = ("summarize", "generate", "translate")
    names = ("Summarize harbour report", "AI Generated Email Content", "Translation of Product Description")
    return [
        {"id": f"m-{n}", "taskName": names[n % 3], "llmTaskType": kinds[n % 3], "content": f"Text number {n}.",
         "translationLanguages": [{"from": "en", "to": "fr"}, {"from": "en", "to": "de"}][: 1 + n % 2]}
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", HUBS)
def test_three_hundred_mixed_tasks_end_and_every_node_runs(kind, tmp_path):
    with hub(kind) as server:
        door = Door([*LAUNCHER, "--hub-url", server.url, "--workspace", str(tmp_path), "--llm", "off", "--log-format", "json",
                     "--report-method", "TaskFinished"])  # fmt: skip
        try:
            door.wait_event("connected")
            server.wait_for_client()
            server.post("send", mixed(300), method="TaskHub")
            door.wait_event("task_completed", 300)
            until(lambda: len(server.get("received")) >= 300, "300 reports")
            door.signal(signal.SIGINT)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result
    assert adds_up(result)
    assert (result["tasks_received"], result["tasks_failed"], result["tasks_pending"]) == (300, 0, 0)
    nodes = sorted(path.name for path in (tmp_path / "nodes").iterdir())
    assert result["workflows_generated"] == len(nodes)
    assert set(nodes) == set(json.loads((tmp_path / "registry.json").read_text(encoding="utf-8"))["nodes"])
    for name in nodes:
        command = [sys.executable, str(tmp_path / "nodes" / name / "main.py")]
        sample = json.dumps(
            {"id": "x", "content": "Words.", "prompt": "Words.", "translationLanguages": [{"from": "en", "to": "fr"}]}
        )
        code, printed, _ = run(command, sample.encode(), env=environment(CODE_EVOLVER_STUB_TOOLS="1"))
        assert code == 0, printed
        assert {"result", "task_id", "task_type"} <= set(printed)


@pytest.mark.parametrize("kind", HUBS)
def test_a_hub_that_waits_for_a_result_gets_a_receipt(kind, tmp_path):
    with hub(kind) as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            server.wait_for_client()
            first = server.post("ask", [summarize("a"), summarize("b"), 17], method="TaskHub", timeout=10)["answer"]
            again = server.post("ask", summarize("a"), method="TaskHub", timeout=10)["answer"]
            changed = server.post("ask", summarize("a", content="Another text."), method="TaskHub", timeout=10)[
                "answer"
            ]
            door.wait_event("task_completed", 3)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert (first["received"], first["accepted"], first["rejected"]) == (True, ["a", "b"], 1)
    assert first["errors"][0]["index"] == 2
    assert (again["accepted"], again["duplicates"]) == ([], ["a"])
    assert changed["accepted"] == ["a"]
    assert code == 0
    assert (result["tasks_received"], result["duplicates"], result["rejected"]) == (3, 1, 1)
    assert adds_up(result)


@pytest.mark.parametrize("kind", HUBS)
def test_every_form_of_a_message_is_read(kind, tmp_path):
    with hub(kind) as server:
        door = connector({"hub_url": f"{server.base}/hub/mock", "hub_name": "DataUpdate", "workspace": str(tmp_path), "listen": ["TaskHub"],
                          "subscribe": [{"method": "SubscribeToContext", "arguments": ["LLMTasks"]}]})  # fmt: skip
        try:
            door.wait_event("connected")
            until(
                lambda: any(call["method"] == "SubscribeToContext" for call in server.get("received")),
                "the subscription",
            )
            server.post("mock", {"tasks": [summarize("mock-1"), summarize("mock-2")]}, context="LLMTasks")
            server.post("send-args", ["LLMTasks", {"tasks": [summarize("args-1")]}, None, 1.5, True], method="TaskHub")
            server.post("send", json.dumps(summarize("text-1")), method="TaskHub")
            server.post(
                "send",
                {"Id": 7, "TaskName": "Summarize x", "LlmTaskType": 0, "Content": "y", "Priority": "High"},
                method="TaskHub",
            )
            server.post(
                "send",
                {"task_id": "snake", "task_name": "Summarize x", "llm_task_type": "summarize", "content": None},
                method="TaskHub",
            )
            server.post("send", [], method="TaskHub")
            server.post("send", summarize("huge", content="x" * 6_000_000), method="TaskHub")
            done = door.wait_event("task_completed", 7)
        finally:
            door.signal(signal.SIGTERM)
            door.end()
            door.kill()
    assert {event["task_id"] for event in done} == {"mock-1", "mock-2", "args-1", "text-1", "7", "snake", "huge"}


@pytest.mark.parametrize("kind", HUBS)
def test_a_stream_and_what_was_pending_are_consumed(kind, tmp_path):
    with hub(kind) as server:
        server.post("pending", [summarize("pending-1"), summarize("pending-2")])
        door = connector({"hub_url": server.url, "workspace": str(tmp_path), "stream": [{"method": "StreamTasks", "arguments": [3, 5]}],
                          "subscribe": [{"method": "PendingTasks", "arguments": []}]})  # fmt: skip
        try:
            done = door.wait_event("task_completed", 5)
        finally:
            door.signal(signal.SIGTERM)
            door.end()
            door.kill()
    assert {event["task_id"] for event in done} == {"pending-1", "pending-2", "stream-0", "stream-1", "stream-2"}


def test_plain_english_connects_and_works(tmp_path):
    with hub("demo") as server:
        request = f"Please connect to {server.url}, create workflows for every task, and stop after 6 seconds."
        door = Door(
            [*ENGLISH, "--workspace", str(tmp_path)], stdin=request.encode(), env=environment(CODE_EVOLVER_LLM="off")
        )
        try:
            door.wait_event("connected")
            server.post("send", summarize("a"), method="TaskHub")
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result
    assert result["parsed_by"] == "rules"
    assert result["config"]["duration_seconds"] == 6
    assert result["workflows_generated"] == 1


def test_plain_english_that_only_listens_leaves_tasks_pending(tmp_path):
    with hub("demo") as server:
        request = json.dumps({"request": f"just receive from {server.url}, do not generate workflows"})
        door = Door([*ENGLISH, "--workspace", str(tmp_path)], stdin=request.encode("utf-16"))
        try:
            door.wait_event("connected")
            server.post("send", [summarize("a"), summarize("b")], method="TaskHub")
            door.wait_event("task_queued", 2)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 0, result
    assert (result["tasks_pending"], result["workflows_generated"]) == (2, 0)
    code, printed, _ = run([*CLI, "work", "--workspace", str(tmp_path), "--llm", "off", "--json"])
    assert code == 0
    assert (printed["tasks_resumed"], printed["workflows_generated"], printed["workflows_reused"]) == (2, 1, 1)


def test_the_output_file_holds_the_tasks_as_received(tmp_path):
    target = tmp_path / "tasks.json"
    with hub("demo") as server:
        door = connector(
            {
                "hub_url": server.url,
                "workspace": str(tmp_path / "w"),
                "output_file": str(target),
                "auto_generate_workflows": False,
            }
        )
        try:
            door.wait_event("connected")
            server.post("send", [summarize("a", tenant="x"), summarize("b")], method="TaskHub")
            door.wait_event("task_queued", 2)
            until(
                lambda: len(json.loads(target.read_text(encoding="utf-8"))) == 2,
                "the file to catch up while the run goes on",
            )
            door.signal(signal.SIGTERM)
            code, _ = door.end()
        finally:
            door.kill()
    assert code == 0
    kept = json.loads(target.read_text(encoding="utf-8"))
    assert [task["id"] for task in kept] == ["a", "b"]
    assert kept[0]["tenant"] == "x"


def test_the_demo_ends_by_itself_with_nodes(tmp_path):
    code, result, err = run([*LAUNCHER, "--demo", "--workspace", str(tmp_path)])
    assert code == 0, err
    assert (result["tasks_received"], result["workflows_generated"], result["workflows_reused"]) == (12, 8, 4)
    assert "Queue Size: 12" in err
    assert "Try next" in err
    assert (tmp_path / "nodes" / "summarize_blog_post" / "main.py").is_file()


def test_a_second_connector_says_who_holds_the_workspace(tmp_path):
    with hub("demo") as server:
        first = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            first.wait_event("connected")
            code, result, _ = run(CONNECTOR, json.dumps({"hub_url": server.url, "workspace": str(tmp_path)}).encode())
            assert code == 3
            assert result["error"]["code"] == "workspace_held"
            assert str(first.process.pid) in result["error"]["message"]
            code, status, _ = run([*CLI, "status", "--workspace", str(tmp_path), "--json"])
            assert (code, status["running"]) == (0, True)
        finally:
            first.signal(signal.SIGTERM)
            first.end()
            first.kill()


def test_dead_letters_are_listed_shown_retried_and_dropped_while_the_connector_runs(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            server.post(
                "send",
                [{"id": "odd", "taskName": "Classify it", "llmTaskType": "classify", "content": "x"}, 5],
                method="TaskHub",
            )
            door.wait_event("task_dead_lettered")
            _, listed, _ = run([*CLI, "dead", "list", "--workspace", str(tmp_path), "--json"])
            by_kind = {one["kind"]: one for one in listed["dead"]}
            assert by_kind["task"]["code"] == "llm_unavailable"
            _, shown, _ = run(
                [*CLI, "dead", "show", str(by_kind["refused"]["key"]), "--workspace", str(tmp_path), "--json"]
            )
            assert shown["raw"] == "5"
            code, done, _ = run(
                [*CLI, "dead", "retry", str(by_kind["task"]["key"]), "--workspace", str(tmp_path), "--json"]
            )
            assert (code, done["retried"]) == (0, 1)
            door.wait_event("task_dead_lettered", 2)
            code, done, _ = run([*CLI, "dead", "drop", "all", "--workspace", str(tmp_path), "--json"])
            assert (code, done["dropped"]) == (0, 2)
            door.signal(signal.SIGTERM)
            code, result = door.end()
        finally:
            door.kill()
    assert code == 7
    assert (result["tasks_received"], result["tasks_resumed"], result["tasks_failed"]) == (1, 1, 2)
    assert adds_up(result)


def test_new_content_under_the_id_of_a_nodes_source_reuses_the_node(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            server.post("send", summarize("a"), method="TaskHub")
            door.wait_event("task_completed")
            server.post("send", summarize("a", content="Another text."), method="TaskHub")
            done = door.wait_event("task_completed", 2)
            door.signal(signal.SIGTERM)
            _, result = door.end()
        finally:
            door.kill()
    assert [event["outcome"] for event in done] == ["generated", "reused"]
    assert result["workflows_generated"] == len(list((tmp_path / "nodes").iterdir())) == 1
