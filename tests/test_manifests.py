"""Every shipped manifest: valid, named like its file, in step with the code, and its examples run."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from code_evolver.core.errors import InputError, ManifestError
from code_evolver.core.manifest import placeholders
from code_evolver.core.settings import from_json, input_schema
from code_evolver.core.task_types import TASK_TYPES
from code_evolver.edges.manifests import load_manifests
from code_evolver.edges.tool_http import HttpTools
from tests.tool_servers import translator

ROOT = Path(__file__).parents[1]
TOOLS = load_manifests([ROOT / "tools"])
PROMISED = {
    "signalr_hub_connector", "connect_signalr", "verify_workflow", "document_workflow", "signalr_connection_parser",
    "task_to_workflow_router", "workflow_documenter", "summarizer", "content_generator", "quick_translator", "nmt_translator", "call_llm",
}  # fmt: skip
EXAMPLES = [(name, number) for name, tool in sorted(TOOLS.items()) for number in range(len(tool.examples))]


def holds(found, wanted):
    """Say whether every key of `wanted` is in `found` with that value."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and holds(found[key], value) for key, value in wanted.items()
        )
    return found == wanted


def test_the_promised_tools_are_there_and_no_file_is_left_out():
    assert set(TOOLS) == PROMISED
    assert {path.stem for path in (ROOT / "tools").rglob("*.yaml")} == PROMISED


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_manifest_stands_in_the_folder_of_its_type(name):
    path = Path(TOOLS[name].path)
    assert (path.parent.name, path.stem) == (TOOLS[name].type, name)
    assert len(TOOLS[name].description) > 15
    assert TOOLS[name].examples


@pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if tool.type == "executable"])
def test_an_executable_has_its_door_beside_it(name):
    part = TOOLS[name].executable
    assert part is not None
    assert part.command == "python"
    assert part.args == (f"tools/executable/{name}.py",)
    door = ROOT / part.args[0]
    assert len(door.read_text(encoding="utf-8").splitlines()) < 20


def test_the_connectors_manifest_is_in_step_with_the_settings():
    assert TOOLS["signalr_hub_connector"].input_schema == input_schema()
    secret = {name for name, schema in input_schema()["properties"].items() if schema.get("secret")}
    assert secret == {"access_token", "headers"}


def test_each_example_of_the_connector_is_judged_alike_by_manifest_and_settings():
    for example in TOOLS["signalr_hub_connector"].examples:
        fails = example.get("output", {}).get("success") is False
        if fails:
            with pytest.raises(InputError):
                from_json(example["input"])
        else:
            from_json(example["input"])
            TOOLS["signalr_hub_connector"].check_input(example["input"])


@pytest.mark.parametrize("row", TASK_TYPES.values(), ids=list(TASK_TYPES))
def test_the_tools_of_every_task_type_take_what_its_nodes_send(row):
    if row.tool:
        TOOLS[row.tool].check_input({"prompt": "x"})
    TOOLS[row.pair_tool].check_input({"prompt": "x", "source_language": "en", "target_language": "fr"})


@pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if tool.llm])
def test_a_template_uses_known_placeholders_and_a_system_prompt_none(name):
    part = TOOLS[name].llm
    assert part is not None
    assert set(placeholders(part.prompt_template)) <= set(TOOLS[name].input_schema["properties"])
    assert placeholders(part.system_prompt) == []


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_an_example_runs(name, number, tmp_path):
    tool, example = TOOLS[name], TOOLS[name].examples[number]
    wanted, needs = example.get("output", {}), example.get("needs", "nothing")
    if wanted.get("success") is not False:
        tool.check_input(example["input"])
    if needs == "server":
        with translator("libre") as server:
            servers = HttpTools({name: {"base_url": server.url}})
            assert asyncio.run(servers.call(tool, example["input"])) == f"fr:{example['input']['prompt']}"
        return
    if tool.executable is None or needs != "nothing":
        return  # the acceptance tests have a hub, nodes and models
    found, code = run_door(tool.executable.args[0], example["input"], tmp_path)
    assert holds(found, wanted), found
    assert (code == 0) is found["success"]
    tool.check_output(found)


def run_door(door, payload, workspace):
    """Start a door as its user does, in a workspace of its own and without what this shell has set."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("CODE_EVOLVER_", "PYTHONPATH"))
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / door)],
        input=json.dumps(payload).encode(),
        capture_output=True,
        timeout=100,
        cwd=workspace,
        env={**environment, "CODE_EVOLVER_LLM": "off"},
        check=False,
    )
    assert done.stdout.count(b"\n") == 1, done.stderr
    return json.loads(done.stdout), done.returncode


@pytest.mark.parametrize("name", [name for name, tool in TOOLS.items() if tool.type == "executable"])
@pytest.mark.parametrize("payload", ["[]", '{"unknown_key": 1}', ""])
def test_every_door_answers_bad_input_with_one_document(name, payload, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "executable" / f"{name}.py")],
        input=payload.encode(),
        capture_output=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    found = json.loads(done.stdout)
    assert (found["success"], done.returncode) == (False, 2)
    assert found["error"]["hint"]


def test_the_tools_of_an_earlier_folder_win_and_a_missing_folder_has_none(tmp_path):
    own = tmp_path / "tools" / "llm"
    own.mkdir(parents=True)
    text = Path(TOOLS["summarizer"].path).read_text(encoding="utf-8").replace("max_tokens: 1000", "max_tokens: 77")
    (own / "summarizer.yaml").write_text(text, encoding="utf-8")
    found = load_manifests([tmp_path / "tools", tmp_path / "none", ROOT / "tools"])
    assert found["summarizer"].llm is not None
    assert found["summarizer"].llm.max_tokens == 77
    assert set(found) == PROMISED


def test_two_files_for_one_tool_in_one_folder_are_refused(tmp_path):
    text = Path(TOOLS["summarizer"].path).read_text(encoding="utf-8")
    (tmp_path / "llm").mkdir()
    for path in (tmp_path / "summarizer.yaml", tmp_path / "llm" / "summarizer.yaml"):
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match="describe one tool"):
        load_manifests([tmp_path])


def test_a_manifest_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "x.yaml").mkdir()
    with pytest.raises(ManifestError, match=r"x\.yaml cannot be read"):
        load_manifests([tmp_path])
