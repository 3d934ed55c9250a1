"""Who wrote a node decides where it may run by hand: ours anywhere, a model's behind a wall unless that was waived."""

import json

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.core.trials import Answer
from code_evolver.edges.trial import ChildTrials
from code_evolver.host import Doors, normal_sha256, run_node_by_hand

CODE = compose(SUMMARIZE, translations=True, fields=("content",))
INPUT = b'{"id": "7", "content": "The fox runs far."}'
COMPOSER, MODEL = {"kind": "composer"}, {"kind": "model", "backend": "local", "model": "tiny"}
OURS = [COMPOSER, {"kind": "copy", "of": "a", "origin": "composer"}]
MODELS = [MODEL, {"kind": "copy", "of": "a", "origin": "model"}]
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


@pytest.mark.parametrize("generator", [*MODELS, UNKNOWN[0]], ids=str)
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
