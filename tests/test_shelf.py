"""The shelf with real files: what it learns, whose programs it gives, and what damage it goes on with."""

import json

import pytest

from code_evolver.assembly import examples_from
from code_evolver.core.compose import compose
from code_evolver.core.findings import Finding
from code_evolver.core.journey import Generated, Proof
from code_evolver.core.message import read_message
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.edges.trial import ChildTrials
from code_evolver.shelf import NodeShelf

CODE = compose(SUMMARIZE, translations=False, fields=("content",))
KEYS = ("summarize:content", "summarize_letter")
RAW = {
    "id": "t-1",
    "taskName": "Summarize letter",
    "taskType": "summarize",
    "content": "Dear Ms Okafor, the bridge is shut.",
}
(TASK,) = read_message([RAW]).tasks
PROOF = Proof(
    (), {"covers": {"languages": 0, "fields": ["content"], "max_chars": 100, "cases": 1}}, {"level": "guarded"}
)


class Shop:
    """A shelf with its parts."""

    def __init__(self, root) -> None:
        self.nodes = NodeStore(root / "nodes", root / "staged")
        self.index = NodeIndex(root / "index.db", root / "registry.json")
        self.notices: list[str] = []
        self.shelf = NodeShelf(
            self.nodes, self.index, ChildTrials(guarded=True), tools=frozenset({"summarizer"}),
            versions={"runtime": "r", "manifests": "m"}, emit=self.emit,
        )  # fmt: skip

    def emit(self, _name, /, **fields) -> None:
        self.notices.append(str(fields.get("message", "")))

    def save(self, kind="composer") -> str:
        return self.shelf.save(TASK, SUMMARIZE, KEYS, Generated(CODE, PROOF, {"kind": kind}))[0]


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.index.close()


def test_a_lesson_is_the_rule_and_its_mend_and_never_what_the_judge_quoted(shop):
    found = [Finding("text-not-whole", 0, "summarizer got 'Dear Ms Okafor'", "Give the tool the whole text.")]
    shop.shelf.learn(TASK, KEYS[0], found)
    assert shop.index.lessons(KEYS[0], "summarize", 5) == [("text-not-whole", "Give the tool the whole text.")]


def test_a_node_whose_record_is_damaged_or_gone_is_nobodys_and_is_made_anew(shop):
    first = shop.save()
    assert shop.shelf.known(TASK, KEYS).source
    record = shop.nodes.nodes / first / "node.json"
    record.write_bytes(b"{")
    assert not shop.shelf.known(TASK, KEYS).source
    second = shop.save()
    assert second != first
    (shop.nodes.nodes / second / "node.json").unlink()
    assert not shop.shelf.known(TASK, KEYS).source
    assert shop.save() not in (first, second)


def test_a_start_goes_on_without_a_damaged_record_and_says_so(shop, tmp_path):
    name = shop.save()
    record = json.loads((shop.nodes.nodes / name / "node.json").read_bytes())
    damaged = {**record, "name": "odd_one", "version": 2**70, "generator": {"kind": ["model"]}}
    shop.nodes.save("odd_one", {"main.py": CODE, "node.json": json.dumps(damaged).encode()})
    assert shop.shelf.open() == 0
    (notice,) = [text for text in shop.notices if "odd_one" in text]
    assert "version" in notice
    assert list(shop.index.names()) == [name]


def test_a_program_changed_by_hand_is_given_as_the_hands(shop):
    shop.save("hand")
    assert shop.shelf.program(KEYS[0]).origin == "hand"


def test_a_program_with_a_tasks_words_is_no_example_for_another(shop):
    name = shop.save()
    find = examples_from(shop.index, shop.nodes)
    assert [one.code for one in find(TASK)] == [CODE.decode()]
    record = shop.nodes.record(name)
    shop.nodes.replace(name, "node.json", json.dumps({**record, "quotes_task": True}).encode())
    assert find(TASK) == []
