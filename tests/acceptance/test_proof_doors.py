"""verify_workflow and document_workflow through their doors: every program gets a verdict, every node its README."""

import json
import shutil
from pathlib import Path

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.task_types import TASK_TYPES
from tests.acceptance.test_nodes_by_hand import NODE, made  # noqa: F401 - a fixture
from tests.acceptance_kit import DOCUMENT, VERIFY, environment, run
from tests.evil_model import attacks, evil_model

GOOD = compose(TASK_TYPES["summarize"], translations=True, fields=("content",)).decode()
TASK = {
    "taskName": "Summarize mail",
    "llmTaskType": "summarize",
    "content": "A letter came.",
    "translationLanguages": ["fr", "de"],
}


def ask(code: str, **more):
    status, printed, err = run(
        VERIFY, json.dumps({"code": code, **more}).encode(), env=environment(CODE_EVOLVER_LLM="off")
    )
    assert status == 0, (printed, err)
    assert printed["success"] is True
    return printed


def test_a_good_program_is_accepted_with_its_runs():
    found = ask(GOOD, task=TASK)
    assert (found["accepted"], found["findings"]) == (True, [])
    assert found["isolation"]["level"] in {"isolated", "guarded"}
    assert len(found["runs"]) >= 10
    first = found["runs"][0]
    assert (first["case"], first["exit_code"], first["stopped_by"], first["calls"]) == ("sample", 0, "", 3)
    assert 0 < first["seconds"] < 5
    assert {check["name"] for check in found["checks"]} > {"gate"}
    assert all(check["passed"] for check in found["checks"])


def test_a_stopped_run_says_what_stopped_it():
    found = ask(GOOD.replace("def main():\n", "def main():\n    while True:\n        pass\n", 1), task=TASK)
    assert found["accepted"] is False
    assert {run["stopped_by"] for run in found["runs"]} & {"wall", "cpu"}


WRONG = {
    "empty": "", "spaces": "  \n\t", "no program": "hello there", "not Python": "function() { return 1 }", "half": "def main(:",
    "null": "x\x00y", "other encoding": "# -*- coding: utf-16 -*-\n" + GOOD, "deep": "(" * 50_000 + ")" * 50_000,
    "huge": GOOD + "# " + "x" * 5_000_000, "many lines": "x = 1\n" * 200_000, "long name": "a" * 300_000 + " = 1", "lone CR": GOOD.replace("\n", "\r"),
    "two programs": GOOD + GOOD, "power": "x = " + "9**" * 2000 + "9",
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_workflow_is_refused_with_findings(name):
    found = ask(WRONG[name], task_type="summarize")
    assert found["accepted"] is False
    first = found["findings"][0]
    assert {"rule", "line", "message"} <= set(first)
    assert first["message"]
    assert len(json.dumps(found)) < 100_000


@pytest.mark.parametrize("name", [name for name in attacks("/tmp") if not name.startswith(("honest", "customer"))])
def test_an_attack_is_refused_with_findings_and_leaves_nothing(name, tmp_path):
    found = ask(attacks(str(tmp_path))[name].replace("@@CUSTOMER@@", ""), task={**TASK, "translationLanguages": []})
    assert (found["accepted"], bool(found["findings"])) == (False, True)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_repeats_the_tasks_words_is_refused():
    words = "Zanzibar-Quill wrote this to us in confidence, and so it stays."
    program = attacks("/tmp")["customer_text"].replace("@@CUSTOMER@@", f"For the letter: {words}")
    found = ask(program, task={**TASK, "content": f"Dear all, {words} Yours.", "translationLanguages": []})
    assert [finding["rule"] for finding in found["findings"]] == ["quotes-the-task"]
    assert ask(program, task={**TASK, "translationLanguages": []})["accepted"] is True


def test_a_type_that_nobody_knows_is_checked_as_far_as_it_goes():
    program = attacks("/tmp")["honest_other"]
    assert ask(program, task_type="classify")["accepted"] is True
    assert ask(program, task_type="other")["accepted"] is False


BAD = [
    {},
    {"code": "x = '\ud800'"},
    {"code": 5},
    {"code": GOOD, "task": []},
    {"code": GOOD, "task": "x"},
    {"code": GOOD, "task_type": 5},
    {"code": GOOD, "tasks": {}},
]


@pytest.mark.parametrize("request_", BAD)
def test_a_request_that_is_none_is_bad_input(request_):
    status, printed, _ = run(VERIFY, json.dumps(request_).encode())
    assert (status, printed["success"]) == (2, False)
    assert printed["error"]["hint"]


@pytest.fixture
def workspace(made, tmp_path):  # noqa: F811 - the fixture of the other file
    place = tmp_path / "ws"
    shutil.copytree(made, place)
    return place


def write(request_, *, cwd: Path | None = None, flags=(), **variables):
    return run(
        [*DOCUMENT, *flags],
        json.dumps(request_).encode(),
        env=environment(**{"CODE_EVOLVER_LLM": "off", **variables}),
        cwd=cwd,
    )


def test_a_readme_is_written_by_name_or_path_from_anywhere(workspace, tmp_path):
    folder = workspace / "nodes" / NODE
    shipped = (folder / "README.md").read_bytes()
    for given, flags, cwd in (
        ({"node": NODE}, (), workspace),
        ({"node": NODE}, ("--workspace", str(workspace)), tmp_path),
        ({"node": NODE, "workspace": str(workspace)}, (), tmp_path),
        ({"node": f"nodes/{NODE}"}, (), workspace),
        ({"node": str(folder)}, (), tmp_path),
        ({"node": f"{folder}/main.py"}, (), tmp_path),
    ):
        (folder / "README.md").unlink()
        status, printed, err = write(given, flags=flags, cwd=cwd)
        assert (status, printed["node"], printed["path"], printed["prose"]) == (
            0,
            NODE,
            f"nodes/{NODE}/README.md",
            "none",
        ), (given, printed, err)
        assert (folder / "README.md").read_bytes() == shipped


def test_output_goes_where_it_is_asked_for(workspace, tmp_path):
    status, printed, _ = write(
        {"node": NODE, "output": "other.md"}, flags=("--workspace", str(workspace)), cwd=tmp_path
    )
    assert (status, printed["path"]) == (0, "other.md")
    assert (tmp_path / "other.md").read_text(encoding="utf-8").startswith("# ")
    status, printed, _ = write(
        {"node": NODE, "output": "no/such/folder.md"}, flags=("--workspace", str(workspace)), cwd=tmp_path
    )
    assert (status, printed["error"]["code"]) == (2, "bad_input")


@pytest.mark.parametrize(
    "node", ["no_such_node", "../../etc", "/etc/passwd", "nodes/../..", "con", "", "nodes/", "x" * 5000, "a\x00b"]
)
def test_a_node_that_is_none_is_told(node, workspace):
    status, printed, _ = write({"node": node}, cwd=workspace)
    assert (status, printed["error"]["code"]) == (2, "bad_input")
    assert printed["error"]["message"]
    assert sorted(path.name for path in workspace.iterdir()) == [".code_evolver", "nodes", "registry.json"]


PROSE = "This program reads a text and gives a summary of it."


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (PROSE, True),
        ("It also calls content_generator and everything else.", False),
        ("```python\nimport os\n```", False),
        ("", False),
        (
            "<script>alert(1)</script> [click](http://evil.invalid) \x1b[31m\n# Heading\n| a | b | \u202e "
            + "long " * 500,
            True,
        ),
    ],
)
def test_a_models_prose_is_quoted_escaped_and_marked(said, shown, workspace):
    with evil_model({}) as model:
        model.answer = lambda body: said  # type: ignore[method-assign]
        status, printed, err = write(
            {"node": NODE}, cwd=workspace, CODE_EVOLVER_LLM="auto", CODE_EVOLVER_LLM_URL=model.url
        )
        asked = [body for body in model.seen if len(body["messages"]) > 1]
    assert (status, printed["prose"]) == (0, "model" if shown else "none"), (printed, err)
    assert len(asked) >= 1
    text = (workspace / "nodes" / NODE / "README.md").read_text(encoding="utf-8")
    assert ("Written by a model" in text) is shown
    assert not [live for live in ("<script", "](http", "\x1b", "\u202e", "\n# Heading") if live in text]
    assert max(map(len, text.splitlines())) < 1500
    assert "`summarizer`" in text


def test_a_model_that_is_down_costs_no_readme(workspace):
    status, printed, _ = write(
        {"node": NODE}, cwd=workspace, CODE_EVOLVER_LLM="auto", CODE_EVOLVER_LLM_URL="http://127.0.0.1:9"
    )
    assert (status, printed["prose"]) == (0, "none")
