"""Models through the whole road: the real connector, a hub, a model server that does well and then goes wrong."""

import json
import signal
import time
from contextlib import contextmanager

import pytest

from tests.acceptance.model_server import (
    cut_short,
    cuts_the_text,
    fenced,
    good,
    half,
    model_server,
    plan,
    prose,
    silence,
    status,
)
from tests.acceptance_kit import CLI, CONNECTOR, adds_up, connector, environment, hub, run, until
from tests.ports import free_port

SECRET = "sk-verysecret-4711-model-key"
PATIENT = 600.0


def task(key, kind="summarize", name="", **more):
    return {
        "id": key,
        "taskName": name or f"{kind} harbour",
        "llmTaskType": kind,
        "content": f"Text of {key}. All is well.",
        **more,
    }


def configure(folder, *urls, tiers=None, key=False, **llm):
    """Write config.yaml (JSON is YAML); the backends are b0, b1, …"""
    backends = {
        f"b{n}": {"type": "openai", "base_url": url, **({"api_key_env": "TEST_MODEL_KEY"} if key else {})}
        for n, url in enumerate(urls)
    }
    section = {"backends": backends, "tiers": tiers or {"general": "b0/tiny"}, **llm}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(json.dumps({"llm": section}), encoding="utf-8")


@contextmanager
def working(folder, tasks, env=None, **settings):
    """Run the connector on a hub that sends these tasks."""
    with hub("demo") as server:
        door = connector(
            {"hub_url": server.url, "workspace": str(folder), "llm": "auto", **settings}, env=env or environment()
        )
        try:
            door.wait_event("connected")
            server.post("send", tasks, method="TaskHub")
            yield door
        finally:
            door.kill()


def stop(door):
    door.signal(signal.SIGTERM)
    code, result = door.end()
    assert adds_up(result)
    return code, result


def record(folder, name):
    return json.loads((folder / "nodes" / name / "node.json").read_text(encoding="utf-8"))


def only_record(folder):
    (path,) = (folder / "nodes").iterdir()
    return record(folder, path.name)


def dead_letter(folder):
    _, listed, _ = run([*CLI, "dead", "list", "--workspace", str(folder), "--json"])
    (one,) = listed["dead"]
    _, shown, _ = run([*CLI, "dead", "show", str(one["key"]), "--workspace", str(folder), "--json"])
    return shown


def test_known_and_unknown_types_are_written_by_the_model_and_what_it_cost_is_told_everywhere(tmp_path):
    with model_server() as models:
        configure(tmp_path, models.url)
        tasks = [
            task("a", translationLanguages=[{"from": "en", "to": "fr"}]),
            task("b", "classify"),
            task("c", "classify", name="classify quay"),
        ]
        with working(tmp_path, tasks) as door:
            ended = door.wait_event("task_completed", 3)
            code, result = stop(door)
    assert code == 0
    assert models.stages() == ["probe", "plan", "code", "plan", "code"]  # the third task's program is known: a copy
    for name, kind in (("summarize_harbour", "summarize"), ("classify_harbour", "classify")):
        found = record(tmp_path, name)
        made = found["generator"]
        assert (made["kind"], made["backend"], made["model"], made["attempts"]) == ("model", "b0", "tiny", 1)
        assert made["tokens_in"] > 100
        assert made["tokens_out"] > 100
        assert (found["task_type"], found["title"], found["proof"]["weaker"]) == (
            kind,
            f"Does {kind} work",
            kind == "classify",
        )
    copied = record(tmp_path, "classify_quay")["generator"]
    assert (copied["kind"], copied["of"]) == ("copy", "classify_harbour")
    by_task = {event["task_id"]: event for event in ended}
    assert by_task["a"]["llm_calls"] == by_task["b"]["llm_calls"] == 2
    assert "llm_calls" not in by_task["c"]
    responded = door.named("llm_responded")
    assert all(event["tokens_per_second"] > 0 and "load_seconds" in event for event in responded)
    spent = result["llm"]
    assert (spent["calls"], spent["tokens_out"]) == (4, sum(event["tokens_out"] for event in responded))
    assert spent["tokens_out"] == by_task["a"]["tokens_out"] + by_task["b"]["tokens_out"]
    assert spent["tokens_per_second"] > 0
    _, told, _ = run([*CLI, "status", "--workspace", str(tmp_path), "--json"])
    assert (told["llm"]["calls"], told["llm"]["tokens_out"]) == (4, spent["tokens_out"])
    assert told["llm"]["tokens_per_second"] > 0


def test_a_bad_program_is_repaired_by_its_findings(tmp_path):
    with model_server(fenced("import os\nos.system('true')"), cuts_the_text, good) as models:
        configure(tmp_path, models.url)
        with working(tmp_path, [task("a")]) as door:
            door.wait_event("task_completed")
            stop(door)
    assert models.stages() == ["probe", "plan", "code", "repair", "repair"]
    assert "os.system" in models.asked[3][2]
    assert "text-not-whole" in models.asked[4][2]
    assert only_record(tmp_path)["generator"]["attempts"] == 3
    refused = door.named("workflow_rejected")
    assert len(refused) == 2
    assert all(event["findings"] for event in refused)
    assert not (tmp_path / ".code_evolver" / "prompts").exists()


def test_after_two_repairs_the_stronger_tier_is_asked(tmp_path):
    with model_server(by_model={"weak": [prose], "able": [good]}) as models:
        configure(tmp_path, models.url, tiers={"general": "b0/weak", "strong": "b0/able"})
        with working(tmp_path, [task("a", "classify")]) as door:
            door.wait_event("task_completed")
            stop(door)
    assert [(stage, model) for stage, model, _ in models.asked if stage != "probe"] == [
        ("plan", "weak"), ("code", "weak"), ("repair", "weak"), ("repair", "weak"), ("plan", "able"), ("code", "able"),
    ]  # fmt: skip
    assert only_record(tmp_path)["generator"]["attempts"] == 4
    assert [event["tier"] for event in door.named("llm_responded")][-1] == "strong"


def test_a_cut_program_is_asked_for_again_with_a_higher_cap_and_never_mended(tmp_path):
    with model_server() as models:
        models.faults = [plan, cut_short]
        configure(tmp_path, models.url)
        with working(tmp_path, [task("a", "classify")]) as door:
            door.wait_event("task_completed")
            _, result = stop(door)
    assert [event["kind"] for event in door.named("llm_failed")] == ["truncated"]
    assert only_record(tmp_path)["generator"]["attempts"] == 1
    assert result["llm"]["calls"] == 3  # the cut answer cost as well


def test_garbage_ends_composed_or_in_a_dead_letter_with_every_draft_prompt_and_answer(tmp_path):
    with model_server(prose, fenced("x = 1"), fenced("import socket")) as models:
        configure(tmp_path, models.url)
        with working(tmp_path, [task("b", "classify")]) as door:
            (ended,) = door.wait_event("task_dead_lettered")
            code, result = stop(door)
        assert (code, result["tasks_failed"]) == (7, 1)
        assert (ended["llm_calls"], ended["drafts"], ended["repairs"]) == (4, 3, 3)
        with working(tmp_path, [task("a")]) as door:
            door.wait_event("task_completed")
            code, _ = stop(door)
    assert code == 0
    assert only_record(tmp_path)["generator"]["kind"] == "composer"
    shown = dead_letter(tmp_path)
    assert shown["code"] == "not_proven"
    assert [draft["generator"] for draft in shown["drafts"]] == ["b0/tiny"] * 3
    assert [draft["code"].strip() for draft in shown["drafts"]] == ["", "x = 1", "import socket"]
    assert "afraid" in shown["drafts"][0]["answer"]
    for draft in shown["drafts"]:
        assert draft["findings"]
        assert "Text of b" in draft["prompt"]


def test_a_wrong_key_is_named_and_never_shown(tmp_path):
    with model_server(key="right") as models:
        configure(tmp_path, models.url, key=True)
        with working(tmp_path, [task("a"), task("b", "classify")], env=environment(TEST_MODEL_KEY=SECRET)) as door:
            door.wait_event("task_completed")
            door.wait_event("task_dead_lettered")
            stop(door)
        shown = dead_letter(tmp_path)
        assert shown["code"] == "llm_refused"
        assert "status 401: Incorrect API key provided" in shown["reason"]
        assert SECRET not in "\n".join(door.lines)
        assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        code, _, _ = run([*CLI, "dead", "retry", "all", "--workspace", str(tmp_path), "--json"])
        assert code == 0
        code, result, _ = run(
            [*CLI, "work", "--workspace", str(tmp_path), "--json"], env=environment(TEST_MODEL_KEY="right")
        )
    assert (code, result["workflows_generated"]) == (0, 1)
    assert record(tmp_path, "classify_harbour")["generator"]["kind"] == "model"


@pytest.mark.slow
def test_tasks_wait_for_a_server_that_is_down_and_no_attempt_is_burnt(tmp_path):
    port = free_port()
    configure(tmp_path, f"http://127.0.0.1:{port}/v1")
    with working(tmp_path, [task("a"), task("b", "classify")]) as door:
        waits = door.wait_event("task_retrying", 3)
        assert len(door.named("llm_unavailable")) == 1
        assert "Start the server" in door.named("llm_unavailable")[0]["hint"]
        with model_server(port=port):
            door.wait_event("task_completed", 2)
            stop(door)
    assert {event["task_id"] for event in waits} == {"a", "b"}
    assert all(
        record(tmp_path, name)["generator"]["kind"] == "model" for name in ("summarize_harbour", "classify_harbour")
    )
    assert not door.named("workflow_rejected")


def test_a_known_type_is_composed_when_the_patience_ends_and_an_unknown_one_waits(tmp_path):
    configure(tmp_path, f"http://127.0.0.1:{free_port()}/v1", patience_seconds=0.5)
    with working(tmp_path, [task("a"), task("b", "classify")]) as door:
        (done,) = door.wait_event("task_completed")
        code, result = stop(door)
    assert done["task_id"] == "a"
    assert only_record(tmp_path)["generator"]["kind"] == "composer"
    assert (code, result["tasks_pending"], result["tasks_failed"]) == (0, 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("way", [half, silence], ids=["in the middle of its answer", "before its answer"])
def test_a_server_killed_at_work_is_waited_for(way, tmp_path):
    port = free_port()
    with model_server(port=port) as first:
        first.faults = [plan, way]
        configure(tmp_path, first.url)
        with working(tmp_path, [task("b", "classify")]) as door:
            until(lambda: first.stages().count("code") == 1, "the question for a program")
            first.kill()
            door.wait_event("task_retrying")
            with model_server(port=port):
                door.wait_event("task_completed")
                stop(door)
    assert only_record(tmp_path)["generator"]["kind"] == "model"


def test_a_server_that_loads_its_model_is_waited_for_within_the_question(tmp_path):
    with model_server() as models:
        models.faults = [status(503, "Loading model"), status(503, "Loading model", **{"Retry-After": "1"})]
        configure(tmp_path, models.url)
        with working(tmp_path, [task("b", "classify")]) as door:
            door.wait_event("task_completed")
            stop(door)
    assert [event["kind"] for event in door.named("llm_failed")] == ["loading", "loading"]
    assert not door.named("task_retrying")


def test_the_strong_tier_is_asked_where_the_general_ones_server_is_down(tmp_path):
    with model_server() as models:
        configure(
            tmp_path,
            f"http://127.0.0.1:{free_port()}/v1",
            models.url,
            tiers={"general": "b0/tiny", "strong": "b1/tiny"},
        )
        with working(tmp_path, [task("b", "classify")]) as door:
            door.wait_event("task_completed")
            stop(door)
    assert only_record(tmp_path)["generator"]["backend"] == "b1"


def test_a_spent_budget_stops_asking_and_says_so(tmp_path):
    with model_server() as models:
        configure(tmp_path, models.url)
        tasks = [task("b", "classify"), task("c", "tag"), task("d", "sort"), task("a")]
        with working(tmp_path, tasks, max_tokens=1500) as door:
            door.wait_event("task_completed", 2)
            door.wait_event("task_dead_lettered", 2)
            code, result = stop(door)
    assert code == 7
    assert record(tmp_path, "classify_harbour")["generator"]["kind"] == "model"
    assert record(tmp_path, "summarize_harbour")["generator"]["kind"] == "composer"
    told = [event for event in door.named("llm_failed") if event["kind"] == "budget"]
    assert len(told) == 1
    assert "--max-tokens" in told[0]["hint"]
    assert any("1500 tokens it may use" in error for error in result["errors"])
    assert {event["code"] for event in door.named("task_dead_lettered")} == {"llm_budget"}
    assert len([stage for stage in models.stages() if stage != "probe"]) <= 3


def test_a_required_model_that_is_not_there_ends_with_6(tmp_path):
    with model_server(key="right") as models:
        for name, prepare in {
            "none": lambda _folder: None,
            "down": lambda folder: configure(folder, f"http://127.0.0.1:{free_port()}/v1"),
            "wrong key": lambda folder: configure(folder, models.url, key=True),
        }.items():
            folder = tmp_path / name
            folder.mkdir()
            prepare(folder)
            given = {"hub_url": "http://127.0.0.1:1/hub", "workspace": str(folder), "llm": "required"}
            code, result, _ = run(CONNECTOR, json.dumps(given).encode(), env=environment(TEST_MODEL_KEY="wrong"))
            assert (code, result["error"]["code"]) == (6, "llm_unavailable"), name
            assert "code-evolver check" in result["error"]["hint"]


def test_a_second_interrupt_ends_a_question_under_way_within_a_second(tmp_path):
    with model_server() as models:
        models.faults = [silence]
        configure(tmp_path, models.url)
        with working(tmp_path, [task("b", "classify")], drain_timeout_seconds=PATIENT) as door:
            until(lambda: "plan" in models.stages(), "a question under way")
            door.signal(signal.SIGINT)
            door.wait_event("shutdown_requested")
            began = time.monotonic()
            door.signal(signal.SIGINT)
            code, result = door.end()
            took = time.monotonic() - began
    assert code == 130
    assert took < 1.0
    assert (result["tasks_received"], result["tasks_pending"]) == (1, 1)


def test_the_time_of_one_task_is_bounded(tmp_path):
    with model_server() as models:
        models.faults = [silence] * 9
        configure(tmp_path, models.url, task_seconds=1)
        with working(tmp_path, [task("b", "classify"), task("a")]) as door:
            door.wait_event("task_dead_lettered")
            door.wait_event("task_completed")
            stop(door)
    assert dead_letter(tmp_path)["code"] == "llm_late"
    assert only_record(tmp_path)["generator"]["kind"] == "composer"


def test_prompts_and_answers_of_accepted_programs_are_kept_where_the_setting_asks_for_it(tmp_path):
    with model_server(prose, good) as models:
        configure(tmp_path, models.url, key=True)
        leak = task("b", "classify", content=f"The key is {SECRET}, keep it.")
        with working(tmp_path, [leak], keep_prompts=True, env=environment(TEST_MODEL_KEY=SECRET)) as door:
            door.wait_event("task_completed")
            stop(door)
    path = tmp_path / ".code_evolver" / "prompts" / "classify_harbour.json"
    text = path.read_text(encoding="utf-8")
    kept = json.loads(text)
    assert (kept["node"], kept["task_id"]) == ("classify_harbour", "b")
    first, last = kept["drafts"]
    assert "afraid" in first["answer"]
    assert first["findings"]
    assert "Write the program now" in first["prompt"]
    assert "Mend every point" in last["prompt"]
    assert "Here is the program" in last["answer"]
    assert last["code"].encode() == (tmp_path / "nodes" / "classify_harbour" / "main.py").read_bytes()
    assert SECRET not in text
    assert path.stat().st_mode & 0o077 == 0
