"""`code-evolver check`: one line a thing, what mends it, exit code 1 when a line failed, and nothing secret in it."""

import json
import os
import sys

import pytest

from tests.acceptance.model_server import model_server
from tests.acceptance.test_models import SECRET, configure
from tests.acceptance_kit import CLI, HUBS, connector, environment, hub, run
from tests.ports import free_port


def check(folder, *flags, **env):
    code, document, _ = run([*CLI, "check", "--workspace", str(folder), "--json", *flags], env=environment(**env))
    assert document["exit_code"] == code
    assert document["ok"] == (code == 0)
    assert all(set(row) == {"check", "status", "found", "mend"} for row in document["checks"])
    assert all(row["mend"] for row in document["checks"] if row["status"] != "ok")
    return code, {row["check"]: row for row in document["checks"]}, json.dumps(document)


@pytest.mark.parametrize("kind", HUBS)
def test_all_is_well_with_a_hub_and_a_model(kind, tmp_path):
    with hub(kind) as server, model_server() as models:
        configure(tmp_path, models.url)
        code, rows, _ = check(tmp_path, "--hub-url", server.url)
    assert code == 0
    assert {what: row["status"] for what, row in rows.items() if what != "isolation"} == dict.fromkeys(
        ["configuration", "workspace", "tools", "token", "hub", "llm b0/tiny reachable", "llm b0/tiny model", "llm b0/tiny answer",
         "llm b0/tiny schema"], "ok")  # fmt: skip
    assert rows["isolation"]["status"] in ("ok", "warning")
    assert server.url in rows["hub"]["found"]
    assert "answered in" in rows["llm b0/tiny answer"]["found"]
    assert [stage for stage, _, _ in models.asked] == ["check", "probe"]


def test_without_a_hub_and_without_a_model_there_are_warnings_and_exit_0(tmp_path):
    code, rows, _ = check(tmp_path, CODE_EVOLVER_LLM_URL="")
    assert code == 0
    assert rows["hub"]["status"] == "warning"
    assert "--hub-url" in rows["hub"]["mend"]
    code, rows, _ = check(tmp_path, "--llm", "off")
    assert (code, rows["model"]["status"]) == (0, "ok")


def test_a_required_model_that_is_not_configured_fails(tmp_path):
    code, rows, _ = check(tmp_path, "--llm", "required")
    assert (code, rows["llm"]["status"]) == (1, "failed")
    assert "CODE_EVOLVER_LLM_URL" in rows["llm"]["mend"]


def test_a_wrong_key_fails_and_is_not_shown(tmp_path):
    with model_server(key="right") as models:
        configure(tmp_path, models.url, key=True)
        code, rows, text = check(tmp_path, TEST_MODEL_KEY=SECRET)
        assert (code, rows["llm b0/tiny reachable"]["status"]) == (1, "failed")
        assert "api_key_env" in rows["llm b0/tiny reachable"]["mend"]
        assert SECRET not in text
        assert check(tmp_path, TEST_MODEL_KEY="right")[0] == 0


def test_a_missing_key_names_its_variable(tmp_path):
    configure(tmp_path, f"http://127.0.0.1:{free_port()}/v1", key=True)
    code, rows, _ = check(tmp_path)
    assert code == 1
    assert "TEST_MODEL_KEY is not set" in rows["llm b0/tiny reachable"]["found"]


def test_a_model_that_the_server_does_not_list_is_told_with_those_that_it_has(tmp_path):
    with model_server() as models:
        configure(tmp_path, models.url, tiers={"general": "b0/huge"})
        code, rows, _ = check(tmp_path)
    assert code == 0  # it answers all the same
    assert rows["llm b0/huge model"]["status"] == "warning"
    assert "does not list huge; it has tiny" in rows["llm b0/huge model"]["found"]


def test_a_server_that_is_down_fails(tmp_path):
    configure(tmp_path, f"http://127.0.0.1:{free_port()}/v1")
    code, rows, _ = check(tmp_path)
    assert (code, rows["llm b0/tiny reachable"]["status"]) == (1, "failed")
    assert "Start the server" in rows["llm b0/tiny reachable"]["mend"]


def test_a_hub_that_is_none_and_one_that_is_down_fail(tmp_path):
    with model_server() as models:
        code, rows, _ = check(tmp_path, "--llm", "off", "--hub-url", f"{models.url}/taskhub")
        assert (code, rows["hub"]["status"]) == (1, "failed")
    code, rows, _ = check(tmp_path, "--llm", "off", "--hub-url", f"http://127.0.0.1:{free_port()}/hub")
    assert (code, rows["hub"]["status"]) == (1, "failed")


def test_a_token_in_the_hubs_address_and_one_in_a_file_are_not_shown(tmp_path):
    token = tmp_path / "token"
    token.write_text("tok-en-4711-secret", encoding="utf-8")
    url = f"http://127.0.0.1:{free_port()}/hub?access_token=tok-en-4712-secret"
    _, _, text = check(tmp_path, "--llm", "off", "--hub-url", url, "--access-token-file", str(token))
    assert "secret" not in text
    code, rows, _ = check(
        tmp_path,
        "--llm",
        "off",
        "--hub-url",
        f"http://127.0.0.1:{free_port()}/hub",
        "--access-token-file",
        str(tmp_path / "none"),
    )
    assert (code, rows["token"]["status"]) == (1, "failed")


def test_a_workspace_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    places = [tmp_path / "file" / "work", *(["/proc/code-evolver"] if sys.platform == "linux" else [])]
    if os.name == "posix" and os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o555)
        places.append(locked)
    for place in places:
        code, rows, _ = check(place, "--llm", "off")
        assert (code, rows["workspace"]["status"]) == (1, "failed"), place
        assert "--workspace" in rows["workspace"]["mend"]


def test_a_workspace_at_work_is_a_warning(tmp_path):
    with hub("demo") as server:
        door = connector({"hub_url": server.url, "workspace": str(tmp_path)})
        try:
            door.wait_event("connected")
            code, rows, _ = check(tmp_path, "--llm", "off")
        finally:
            door.kill()
    assert (code, rows["workspace"]["status"]) == (0, "warning")
    assert str(door.process.pid) in rows["workspace"]["found"]


def test_a_wrong_configuration_is_the_one_line(tmp_path):
    (tmp_path / "config.yaml").write_text("hub_nmae: x\n", encoding="utf-8")
    code, rows, _ = check(tmp_path)
    assert code == 1
    assert list(rows) == ["configuration"]
    assert "hub_name" in rows["configuration"]["mend"] + rows["configuration"]["found"]
    (tmp_path / "config.yaml").write_text(
        "llm: {backends: {b: {type: olama, base_url: 'http://x'}}, tiers: {general: b/m}}\n", encoding="utf-8"
    )
    code, rows, _ = check(tmp_path)
    assert (code, rows["model"]["status"]) == (1, "failed")
    assert "ollama" in rows["model"]["mend"]


def test_the_home_folder_is_not_named(tmp_path):
    (tmp_path / "work").mkdir()
    _, _, text = check(tmp_path / "work", "--llm", "off", HOME=str(tmp_path))
    assert str(tmp_path) not in text
    assert "~" in text
