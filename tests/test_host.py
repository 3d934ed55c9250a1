"""Who wrote a node decides where it may run by hand: ours anywhere, a model's behind a wall unless that was waived."""

import asyncio
import json
import sys

import pytest

from code_evolver.assembly import manifests_of
from code_evolver.core.compose import compose
from code_evolver.core.errors import ToolError
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.core.trials import Answer
from code_evolver.edges.llm import HttpModels
from code_evolver.edges.toolbox import Toolbox
from code_evolver.edges.trial import ChildTrials
from code_evolver.edges.workspace import Workspace
from code_evolver.host import Doors, node_tool, normal_sha256, own_doors, run_node_by_hand

CODE = compose(SUMMARIZE, translations=True, fields=("content",))
INPUT = b'{"id": "7", "content": "The fox runs far."}'
COMPOSER, MODEL = {"kind": "composer"}, {"kind": "model", "backend": "local", "model": "tiny"}
OURS = [COMPOSER, {"kind": "copy", "of": "a", "origin": "composer"}]
MODELS = [MODEL, {"kind": "copy", "of": "a", "origin": "model"}]
HANDS = [{"kind": "hand"}, {"kind": "copy", "of": "a", "origin": "hand"}]
UNKNOWN = [
    {}, {"kind": "copy", "of": "a"}, {"kind": "copy", "of": "a", "origin": "me"}, {"kind": "me"},
    {"kind": "copy", "origin": ["composer"]}, "composer", None,
]  # fmt: skip


class Node:
    """A node in a workspace, run on a machine of a given level."""

    def __init__(self, root) -> None:
        self.root = root
        self.folder = root / "nodes" / "summarize_fox"
        self.folder.mkdir(parents=True)
        (self.folder / "main.py").write_bytes(CODE)
        self.said: list[str] = []
        self.asked = 0

    def run(
        self, generator: object, *, guarded: bool = True, sha256: str = "", **environment: str
    ) -> tuple[int, dict[str, object]]:
        record = {"name": "summarize_fox", "sha256": sha256 or normal_sha256(CODE), "generator": generator}
        (self.folder / "node.json").write_text(json.dumps(record), encoding="utf-8")
        (self.root / "in").write_bytes(INPUT)

        def answer(calls):
            self.asked += 1
            return [Answer(text="short") for _ in calls]

        with (self.root / "in").open("rb") as stdin, (self.root / "out").open("wb") as stdout:
            doors = Doors(stdin, stdout, self.said.append, environment)
            code = run_node_by_hand(self.folder / "main.py", doors, answer, ChildTrials(guarded=guarded))
        return code, json.loads((self.root / "out").read_bytes())


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.mark.parametrize("generator", OURS, ids=str)
def test_what_we_composed_runs_guarded_and_that_is_said(node, generator):
    code, document = node.run(generator)
    assert (code, document["result"]) == (0, "short")
    assert any(line.startswith("Isolation: guarded (audit hook") for line in node.said)


@pytest.mark.parametrize(
    ("generator", "who"),
    [
        *((one, "a model wrote this node") for one in MODELS),
        *((one, "this node was changed by hand") for one in HANDS),
        *((one, "nobody knows who wrote this node") for one in UNKNOWN),
    ],
    ids=str,
)
def test_what_a_model_or_nobody_known_wrote_does_not_run_guarded(node, generator, who):
    code, document = node.run(generator)
    error = document["error"]
    assert (code, node.asked) == (1, 0)
    assert isinstance(error, dict)
    assert error["code"] == "isolation_required"
    assert who in error["message"]
    assert "isolation: guarded" in error["hint"]


@pytest.mark.parametrize("generator", [*MODELS, *HANDS, UNKNOWN[0]], ids=str)
def test_it_runs_guarded_where_config_yaml_allows_it(node, generator):
    (node.root / "config.yaml").write_text("isolation: guarded\n", encoding="utf-8")
    assert node.run(generator)[0] == 0


def test_it_runs_guarded_where_the_environment_allows_it(node):
    assert node.run(MODEL, CODE_EVOLVER_ISOLATION="guarded")[0] == 0


def test_the_environment_is_stronger_than_config_yaml(node):
    (node.root / "config.yaml").write_text("isolation: guarded\n", encoding="utf-8")
    assert node.run(MODEL, CODE_EVOLVER_ISOLATION="isolated")[0] == 1


def test_a_config_yaml_that_cannot_be_understood_allows_nothing(node):
    (node.root / "config.yaml").write_text("isolation: whatever\n", encoding="utf-8")
    code, document = node.run(MODEL)
    assert (code, node.asked) == (3, 0)
    assert isinstance(document["error"], dict)
    assert document["error"]["code"] == "configuration"


def test_a_record_of_another_program_says_nothing_of_who_wrote_this_one(node):
    code, document = node.run(COMPOSER, sha256="0" * 64, CODE_EVOLVER_RUN_CHANGED="1")
    assert (code, node.asked) == (1, 0)
    assert isinstance(document["error"], dict)
    assert document["error"]["code"] == "isolation_required"


@pytest.mark.parametrize("generator", [*OURS, *MODELS, *UNKNOWN], ids=str)
def test_behind_the_wall_everything_proven_runs(node, generator):
    if ChildTrials().level()[0] != "isolated":
        pytest.skip("no seal here")
    assert node.run(generator, guarded=False)[0] == 0


OWN = ["signalr_hub_connector", "connect_signalr", "verify_workflow", "document_workflow", "task_to_workflow_router"]


@pytest.mark.parametrize("tool", OWN)
def test_a_node_by_hand_cannot_call_what_only_people_may_start(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("CODE_EVOLVER_LLM", "off")
    folder, mark = tmp_path / "nodes" / "summarize_fox", tmp_path / "mark"
    folder.mkdir(parents=True)
    code = CODE.replace(b'"summarizer"', f'"{tool}"'.encode())
    assert code != CODE
    (folder / "main.py").write_bytes(code)
    record = {"name": "summarize_fox", "sha256": normal_sha256(code), "generator": COMPOSER}
    (folder / "node.json").write_text(json.dumps(record), encoding="utf-8")
    shell = f'"{sys.executable}" -c "open({str(mark)!r}, \'w\')"'
    asked = {"hub_url": "http://127.0.0.1:1/x", "access_token_command": shell, "duration_seconds": 1}
    (tmp_path / "in").write_text(json.dumps({"id": "7", "content": json.dumps(asked)}), encoding="utf-8")
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        doors = Doors(stdin, stdout, lambda _line: None, {})
        status = run_node_by_hand(folder / "main.py", doors, trials=ChildTrials(guarded=True))
    printed = json.loads((tmp_path / "out").read_bytes())
    assert (status, printed["error"]["code"]) == (1, "unknown_tool")
    assert f"There is no tool '{tool}'" in printed["error"]["message"]
    assert not mark.exists()


GONE = """name: gone_node
type: workflow
description: A node as a tool.
input_schema: {type: object}
output_schema: {type: object}
examples: []
"""


def test_a_tool_whose_node_is_gone_fails_as_a_tool(tmp_path):
    (tmp_path / "tools" / "workflow").mkdir(parents=True)
    (tmp_path / "tools" / "workflow" / "gone_node.yaml").write_text(GONE, encoding="utf-8")
    toolbox = Toolbox(
        manifests_of(Workspace.at(tmp_path)),
        HttpModels(None, lambda _name, /, **_fields: None),
        run_node=node_tool(tmp_path, own_doors()),
    )
    with pytest.raises(ToolError, match="gone_node") as caught:
        asyncio.run(toolbox.call("gone_node", "{}", {}))
    assert caught.value.actual_code == "node_failed"
    assert "nodes list" in caught.value.hint
