"""Nodes started by hand, from anywhere: the same seal at every later start, one JSON document always."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance_kit import CLI, CONNECTOR, ROOT, Door, document, environment, hub, run

NODE = "summarize_harbour_report"
GENERATE = "generate_email_content"
TASKS = [
    {"id": "s", "taskName": "Summarize harbour report", "llmTaskType": "summarize", "content": "The harbour is open. Ships come. It rains."},
    {"id": "g", "taskName": "AI Generated Email Content", "llmTaskType": "generate", "prompt": "Write to all."},
]  # fmt: skip
TEXT = json.dumps(
    {"id": "7", "content": "The harbour is open. Ships come and go all day. The weather is good."}
).encode()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace that the real road has made, without a model."""
    place = tmp_path_factory.mktemp("made") / "ws"
    with hub("demo") as server:
        door = Door(
            CONNECTOR, stdin=json.dumps({"hub_url": server.url, "workspace": str(place), "llm": "off"}).encode()
        )
        try:
            door.wait_event("connected")
            server.post("send", TASKS, method="TaskHub")
            door.wait_event("task_completed", 2)
            door.signal(15)
            door.end()
        finally:
            door.kill()
    return place


@pytest.fixture
def workspace(made, tmp_path):
    """A copy of it in a folder with spaces and letters that ASCII has not."""
    place = tmp_path / "Ein Ordner, größer (日本)"
    shutil.copytree(made, place)
    return place


def main_py(workspace: Path, name: str = NODE) -> Path:
    return workspace / "nodes" / name / "main.py"


def start(
    workspace: Path, data: bytes = TEXT, *, name: str = NODE, cwd: Path | None = None, **variables: str
) -> tuple[int, dict[str, Any], str]:
    env = environment(CODE_EVOLVER_LLM="off", **variables)
    return run([sys.executable, str(main_py(workspace, name))], data, env=env, cwd=cwd or workspace)


def verify(workspace: Path, *names: str) -> tuple[int, list[dict[str, Any]]]:
    code, printed, _ = run([*CLI, "nodes", "verify", *names, "--json", "--workspace", str(workspace)])
    return code, printed["nodes"]


def test_a_node_runs_from_its_workspace_and_from_elsewhere(workspace, tmp_path):
    for folder in (workspace, tmp_path, main_py(workspace).parent):
        code, printed, err = start(workspace, cwd=folder)
        assert (code, printed["task_id"], printed["task_type"]) == (0, "7", "summarize"), (printed, err)
        assert printed["result"]
    done = subprocess.run([sys.executable, "main.py"], input=TEXT, capture_output=True, cwd=main_py(workspace).parent, timeout=60, check=False,
                          env=environment(CODE_EVOLVER_LLM="off"))  # fmt: skip
    assert document(done.stdout)["task_id"] == "7"


def test_an_answer_without_a_model_says_that_it_is_degraded(workspace):
    code, _, err = start(workspace)
    told = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert code == 0
    assert [(one["event"], one["degraded"], one["tool"]) for one in told] == [("notice", True, "summarizer")]


def test_a_tool_without_a_model_fails_the_node_with_exit_1(workspace):
    code, printed, _ = start(workspace, b'{"prompt": "Write."}', name=GENERATE)
    assert (code, printed["success"], printed["error"]["code"]) == (1, False, "llm_unavailable")


BAD = [
    b"",
    b"{",
    b"[]",
    b"17",
    b'{"content": 5}',
    b"{}",
    b'{"content": NaN}',
    b"\xff\xfe",
    b'{"content": "\\ud800"}',
    b"{" * 5000,
]


@pytest.mark.parametrize("data", BAD)
def test_bad_input_is_one_document_and_exit_2(workspace, data):
    code, printed, _ = start(workspace, data)
    assert (code, printed["success"], printed["error"]["code"]) == (2, False, "bad_input")


def test_a_changed_program_runs_only_after_it_was_proven_again(workspace):
    path = main_py(workspace)
    path.write_bytes(path.read_bytes() + b"\n# a harmless remark\n")
    code, printed, _ = start(workspace)
    assert (code, printed["error"]["code"]) == (1, "node_changed")
    assert f"code-evolver nodes verify {NODE}" in printed["error"]["hint"]
    code, rows = verify(workspace, NODE)
    assert (code, rows[0]["verdict"]) == (0, "proven again")
    assert start(workspace, CODE_EVOLVER_ISOLATION="guarded")[0] == 0
    code, rows = verify(workspace, NODE)
    assert (code, rows[0]["verdict"]) == (0, "ok")


def test_a_program_that_was_changed_is_proven_again_as_nobodys_but_the_hands(workspace):
    path, file = main_py(workspace), main_py(workspace).with_name("node.json")
    record = json.loads(file.read_bytes())
    assert record["generator"]["kind"] == "composer"
    file.write_text(json.dumps({**record, "drafts": [{"code": "x", "findings": []}]}), encoding="utf-8")
    assert verify(workspace, NODE)[1][0]["verdict"] == "ok"
    assert json.loads(file.read_bytes())["generator"] == record["generator"]
    path.write_bytes(path.read_bytes() + b"\n# a harmless remark\n")
    assert verify(workspace, NODE)[1][0]["verdict"] == "proven again"
    fresh = json.loads(file.read_bytes())
    assert (fresh["generator"], fresh["quotes_task"], "drafts" in fresh) == ({"kind": "hand"}, True, False)
    done = subprocess.run([*CLI, "export", "--format", "jsonl", "--workspace", str(workspace)], capture_output=True, timeout=60, check=True,
                          env=environment())  # fmt: skip
    assert b"a harmless remark" not in done.stdout
    assert b"generate_email_content" in done.stdout


def test_a_bad_program_is_not_proven_again_and_nothing_is_written(workspace):
    path = main_py(workspace)
    for change in (
        lambda code: code.replace(b"import json\n", b"import json\nimport os\n", 1),
        lambda code: code.replace(b'call_tool("summarizer", read_text(task))', b'"always the same"'),
        lambda code: code + b"\nprint(1)\n",
        lambda code: b"",
        lambda code: b"x = (",
        lambda code: b"\x00" + code,
    ):
        good, record = path.read_bytes(), (path.parent / "node.json").read_bytes()
        assert change(good) != good
        path.write_bytes(change(good))
        code, rows = verify(workspace, NODE)
        assert (code, rows[0]["verdict"]) == (1, "failed"), rows
        assert rows[0]["why"]
        assert (path.parent / "node.json").read_bytes() == record
        if path.read_bytes().startswith(b'"""'):  # one that does not even parse never comes to us
            assert start(workspace)[1]["error"]["code"] == "node_changed"
        path.write_bytes(good)
    assert start(workspace)[0] == 0


def test_the_opt_out_is_loud_and_the_gate_and_the_seal_stay(workspace, tmp_path):
    path = main_py(workspace)
    good = path.read_bytes()
    path.write_bytes(good + b"\n# a remark\n")
    code, _, err = start(workspace, CODE_EVOLVER_RUN_CHANGED="1")
    assert (code, "CHANGED PROGRAM" in err) == (0, True)
    mark = tmp_path / "mark"
    path.write_bytes(good.replace(b"def main():", f"open({str(mark)!r}, 'w')\n\n\ndef main():".encode(), 1))
    code, printed, _ = start(workspace, CODE_EVOLVER_RUN_CHANGED="1")
    assert (code, printed["error"]["code"], mark.exists()) == (1, "node_failed", False)


@pytest.mark.parametrize("name", ["json.py", "statistics.py", "code_evolver.py", "yaml.py", "helper.py"])
def test_a_module_beside_main_py_is_reported_and_not_used(workspace, name):
    (main_py(workspace).parent / name).write_text("", encoding="utf-8")
    code, printed, err = start(workspace)
    assert (code, f"{name} stands beside main.py" in err) == (0, True), (printed, err)
    # Python itself takes a json.py there before any code of ours: it is dropped again, and a person is warned.
    assert ("WARNING" in err) == (name == "json.py")


def test_a_node_can_be_tried_with_stub_tools(workspace):
    code, printed, _ = run([*CLI, "nodes", "try", GENERATE, "--stub", "--json", "--workspace", str(workspace)])
    assert (code, printed["exit_code"], printed["output"]["task_type"]) == (0, 0, "generate")
    code, printed, _ = run([*CLI, "nodes", "try", "no_such_node", "--stub", "--json", "--workspace", str(workspace)])
    assert (code, printed["success"]) == (2, False)
    code, printed, _ = run([*CLI, "nodes", "try", "../../etc", "--stub", "--json", "--workspace", str(workspace)])
    assert printed["success"] is False


def test_what_has_drifted_is_marked(workspace):
    """Another runtime or other manifests: the record's proof no longer holds, and verify says so once."""
    for name in (NODE, GENERATE):
        path = workspace / "nodes" / name / "node.json"
        record = json.loads(path.read_bytes())
        record["proof"]["versions"]["runtime" if name == NODE else "manifests"] = "0" * 64
        path.write_text(json.dumps(record), encoding="utf-8")
    code, rows = verify(workspace, "--all")
    assert code == 0
    assert {row["name"]: row["verdict"] for row in rows} == {NODE: "proven again", GENERATE: "proven again"}
    assert {row["verdict"] for row in verify(workspace, "--all")[1]} == {"ok"}


def test_a_tool_of_the_workspace_makes_the_proofs_drift(workspace):
    folder = workspace / "tools" / "llm"
    folder.mkdir(parents=True)
    (folder / "rhymer.yaml").write_text(RHYMER, encoding="utf-8")
    assert {row["verdict"] for row in verify(workspace, "--all")[1]} == {"proven again"}


RHYMER = """name: rhymer
type: llm
description: Makes rhymes.
input_schema: {type: object, properties: {prompt: {type: string}}}
output_schema: {type: object, properties: {text: {type: string}}}
llm: {tier: fast, temperature: 0, max_tokens: 100, system_prompt: You rhyme., prompt_template: "{prompt}"}
examples: []
"""


def test_a_damaged_node_is_told_and_the_others_are_verified(workspace):
    (workspace / "nodes" / NODE / "node.json").write_text("{", encoding="utf-8")
    code, rows = verify(workspace, "--all")
    assert (code, {row["name"]: row["verdict"] for row in rows}) == (1, {NODE: "damaged", GENERATE: "ok"})


WORKFLOW = """name: {name}
type: workflow
description: A node as a tool.
input_schema: {{type: object, properties: {{content: {{type: string}}}}}}
output_schema: {{type: object, properties: {{result: {{type: string}}}}}}
examples: []
"""


def as_tool(workspace: Path, name: str) -> None:
    folder = workspace / "tools" / "workflow"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(WORKFLOW.format(name=name), encoding="utf-8")


def test_a_node_is_a_tool_for_others(workspace):
    as_tool(workspace, NODE)
    code, printed, err = run(
        [*CLI, "tool", NODE, "--workspace", str(workspace)], TEXT, env=environment(CODE_EVOLVER_LLM="off")
    )
    assert code == 0, (printed, err)
    assert "harbour" in printed["result"]


def caller_of(name: str, code: bytes) -> bytes:
    """The summarizing node, with another node in the place of its tool."""
    changed = code.replace(
        b'call_tool("summarizer", read_text(task))',
        f'call_tool("{name}", json.dumps({{"content": read_text(task)}}))'.encode(),
    )
    assert changed != code
    return changed


def test_nodes_call_nodes_four_deep_and_no_deeper(workspace):
    good = main_py(workspace).read_bytes()
    record = json.loads((workspace / "nodes" / NODE / "node.json").read_bytes())
    names = [f"summarize_level_{letter}" for letter in "abcde"]
    for name, inner in zip(names, [NODE, *names[:-1]], strict=True):
        as_tool(workspace, inner)
        (workspace / "nodes" / name).mkdir()
        main_py(workspace, name).write_bytes(caller_of(inner, good))
        (workspace / "nodes" / name / "node.json").write_text(json.dumps({**record, "name": name}), encoding="utf-8")
    changed: dict[str, Any] = {"CODE_EVOLVER_RUN_CHANGED": "1", "CODE_EVOLVER_ISOLATION": "guarded"}
    code, printed, err = start(workspace, name=names[3], **changed)
    assert (code, "harbour" in printed.get("result", "")) == (0, True), (printed, err)
    code, printed, _ = start(workspace, name=names[4], **changed)
    assert code == 1
    assert "over 4 deep" in json.dumps(printed)


def test_a_node_that_calls_itself_comes_to_an_end(workspace):
    as_tool(workspace, NODE)
    path = main_py(workspace)
    path.write_bytes(caller_of(NODE, path.read_bytes()))
    code, printed, _ = start(workspace, CODE_EVOLVER_RUN_CHANGED="1", CODE_EVOLVER_ISOLATION="guarded")
    assert (code, printed["success"]) == (1, False)


def strangers_environment() -> dict[str, str]:
    """Nothing of ours on the path: what is installed, is installed."""
    return {key: value for key, value in environment(CODE_EVOLVER_LLM="off").items() if key != "PYTHONPATH"}


def bare_python(tmp_path: Path) -> Path:
    """A virtual environment with our dependencies, but without us."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True, timeout=120)
    python = home / "bin" / "python"
    found = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = Path(found.stdout.strip())
    ours = Path(sysconfig.get_path("purelib"))
    for entry in ours.iterdir():
        if (
            "code_evolver" not in entry.name.lower()
            and not entry.name.startswith("_editable")
            and entry.suffix != ".pth"
        ):
            (theirs / entry.name).symlink_to(entry)
    done = subprocess.run(
        [str(python), "-c", "import httpx, yaml, fastjsonschema\nimport code_evolver"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search("No module named 'code_evolver'", done.stderr), done.stderr
    return python


def test_a_checkout_that_is_not_installed_works(workspace, tmp_path):
    checkout = tmp_path / "a checkout"
    for name in ("src", "tools"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "node_runtime.py", checkout)
    shutil.copytree(workspace / "nodes", checkout / "nodes")
    done = subprocess.run([str(bare_python(tmp_path)), str(main_py(checkout))], input=TEXT, capture_output=True, timeout=60, check=False,
                          env=strangers_environment(), cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert document(done.stdout)["task_id"] == "7"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy so that nothing is left in the repository."""
    if not shutil.which("git") or not (ROOT / "pyproject.toml").is_file():
        pytest.skip("not a checkout")
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".git", "__pycache__", ".venv", ".mypy_cache", ".ruff_cache", ".hypothesis"),
    )
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--quiet",
        "--disable-pip-version-check",
        "-w",
        str(place),
        str(source),
    ]
    done = subprocess.run(build, capture_output=True, text=True, timeout=110, check=False)
    if done.returncode and re.search(
        "Could not find a version|No matching distribution|Connection|No module named pip", done.stderr
    ):
        pytest.skip(f"the build backend cannot be had: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    (found,) = place.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_works_in_a_workspace_elsewhere(wheel, workspace, tmp_path):
    with zipfile.ZipFile(wheel) as inside:
        names = set(inside.namelist())
        assert {"node_runtime.py", "code_evolver/tools/llm/summarizer.yaml", "code_evolver/child/boot.py", "code_evolver/py.typed",
                "code_evolver/tools/executable/signalr_hub_connector.py"} <= names  # fmt: skip
        assert not [name for name in names if name.startswith(("tests/", "nodes/", "src/"))]
        python = bare_python(tmp_path)
        theirs = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
        inside.extractall(theirs)
    env = strangers_environment()
    done = subprocess.run(
        [str(python), str(main_py(workspace))],
        input=TEXT,
        capture_output=True,
        timeout=60,
        check=False,
        env=env,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert document(done.stdout)["task_id"] == "7"
    demo = [str(python), "-m", "code_evolver.cli", "run", "--demo", "--json", "--workspace", str(tmp_path / "demo")]
    done = subprocess.run(demo, capture_output=True, timeout=100, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert document(done.stdout)["tasks_failed"] == 0
    assert list((tmp_path / "demo" / "nodes").iterdir())
