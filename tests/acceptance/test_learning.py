"""It gets better and cheaper with every task: reuse, lineage, examples, lessons, ratings, training set, replay, accounts."""

import asyncio
import json
import sys
import time
from contextlib import asynccontextmanager
from xml.etree import ElementTree as ET

import pytest

from code_evolver.assembly import assemble, examples_from, lessons_from, manifests_of, node_store
from code_evolver.commands import export, nodes, registry, replay, stats
from code_evolver.configuration import load
from code_evolver.core.budget import Account
from code_evolver.core.compose import compose
from code_evolver.core.message import read_message
from code_evolver.core.settings import Layer
from code_evolver.core.task_types import SUMMARIZE
from code_evolver.edges.workspace import Workspace, hold
from code_evolver.ports import Lease, Reply
from code_evolver.prompting import RouterPrompts
from code_evolver.worker import Policy, Worker, feed_leases
from tests.acceptance_kit import CLI, Door, environment, hub, run, until

LIMIT = 120.0
SUBJECTS = ["harbour", "garden", "bakery", "station", "library", "museum", "market", "castle"]


def task(number, kind="summarize", subject="harbour", languages=(), **fields):
    raw = {"id": f"t-{number}", "taskName": f"{kind.capitalize()} {subject} report", "taskType": kind,
           **(fields or {"content": f"Text {number}."}), "translationLanguages": [{"from": "en", "to": to} for to in languages]}  # fmt: skip
    return read_message([raw]).tasks[0]


def quiet(_name, /, **_fields):
    return


@asynccontextmanager
async def workshop(folder, emit=quiet):
    """Everything that a run is made of, in one workspace, without a hub."""
    async with assemble(load(Layer({"workspace": str(folder), "llm": "off"}, {})), emit, hub=False) as parts:
        await asyncio.to_thread(parts.shelf.open)
        await parts.queue.recover()
        yield parts


async def work_off(parts, tasks, worker=None):
    for start in range(0, len(tasks), 1000):
        await parts.queue.put(tasks[start : start + 1000], [])
    feed: asyncio.Queue[Lease] = asyncio.Queue(64)
    wake = asyncio.Event()
    jobs = [
        asyncio.ensure_future(feed_leases(parts.queue, feed, wake)),
        asyncio.ensure_future((worker or parts.worker).run(feed)),
    ]
    async with asyncio.timeout(LIMIT):
        while (await parts.queue.counts()).pending:
            done, _ = await asyncio.wait(jobs, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
    for job in jobs:
        job.cancel()
    await asyncio.wait(jobs)
    return await parts.queue.counts()


def records(folder):
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / "nodes").glob("*/node.json")
    }


# ── reuse ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_ten_thousand_tasks_of_100_node_keys_and_4_program_keys_make_100_nodes_with_4_generations(tmp_path):
    kinds = [("summarize", ()), ("summarize", ("fr",)), ("generate", ()), ("translate", ("de",))]
    subjects = [f"{one} {two}" for one in SUBJECTS[:5] for two in SUBJECTS[3:8]]

    def one(number):
        kind, languages = kinds[number % 4]
        return task(number, kind, subjects[number // 4 % 25], languages)

    async def work():
        async with workshop(tmp_path) as parts:
            return await work_off(parts, [one(number) for number in range(10_000)])

    counts = asyncio.run(work())
    assert (counts.generated, counts.reused, counts.failed) == (100, 9900, 0)
    made = records(tmp_path)
    assert len(made) == 100
    assert sorted(record["generator"]["kind"] for record in made.values()) == ["composer"] * 4 + ["copy"] * 96
    for record in made.values():
        if record["generator"]["kind"] == "copy":
            assert record["generator"]["origin"] == "composer"
            assert made[record["generator"]["of"]]["program_key"] == record["program_key"]


def test_a_proof_is_extended_where_it_does_not_cover_a_task_and_keeps_what_it_covered(tmp_path):
    runs = []

    async def work():
        async with workshop(tmp_path) as parts:
            real = parts.trials.run

            def counting(code, *arguments, **named):
                runs.append(code)
                return real(code, *arguments, **named)

            parts.trials.run = counting
            covered = [
                task(1, languages=("fr",)),
                task(2, languages=("fr", "de", "it"), content="Another text. " * 100),
            ]
            await work_off(parts, covered)
            assert len(runs) == 1
            seven = ("fr", "de", "it", "es", "pt", "nl", "pl")
            await work_off(parts, [task(3, languages=seven), task(4, languages=seven)])
            assert len(runs) == 2
            await work_off(parts, [task(5, languages=("fr",), content="x" * 30_000), task(6, languages=seven)])
            assert len(runs) == 3
            return await parts.queue.counts()

    counts = asyncio.run(work())
    assert (counts.generated, counts.reused) == (1, 5)
    (record,) = records(tmp_path).values()
    assert record["proof"]["covers"]["languages"] == 7
    assert record["proof"]["covers"]["max_chars"] == 30_000
    assert record["proof"]["covers"]["shared_target"] is True


# ── a model that learns from what it is shown ────────────────────────────────────────────────────────────────────────
GOOD = compose(SUMMARIZE, translations=False, fields=("content",)).decode()
FLAWS = {
    "import-os": ("import json\n", "import json\nimport os\n"),
    "id-fixed": ('task.get("id", "")', '"1"'),
}


class Learner:
    """Answers as a weak model would: with flaws, one of which it mends a round; without those that it is told of beforehand."""

    configured = True

    def __init__(self, *, copies_examples):
        self.copies_examples = copies_examples
        self.calls = 0
        self.flaws = []

    @property
    def spent(self):
        return Account(
            calls=self.calls, tokens_in=100 * self.calls, tokens_out=10 * self.calls, seconds=0.5 * self.calls
        )

    def tiers_above(self, _tier):
        return ()

    async def down_since(self):
        return None

    async def close(self):
        return

    async def ask(self, ask):
        self.calls += 1
        if ask.purpose == "plan":
            return self._say(
                json.dumps({"title": "Summarize a report", "description": "Summarizes.", "tools": ["summarizer"]})
            )
        if ask.purpose == "code":
            self.flaws = list(FLAWS)
            if self.copies_examples and "# Proven programs" in ask.user:
                self.flaws = []
            told = ask.user.partition("Earlier programs of this kind were refused because:")[2].partition("\n#")[0]
            self.flaws = [flaw for flaw in self.flaws if not self._named(flaw, told)]
        else:
            self.flaws = self.flaws[1:]
        code = GOOD
        for flaw in self.flaws:
            code = code.replace(*FLAWS[flaw])
        return self._say(f"```python\n{code}```")

    @staticmethod
    def _named(flaw, told):
        return {"import-os": "import-not-allowed", "id-fixed": "task-id"}[flaw] in told

    @staticmethod
    def _say(text):
        return Reply(text, "scripted", "learner", "general")


def repairs_of(folder, *, copies_examples=False, lessons=True, examples=True):
    """Work four tasks off, each with a node of its own; give the repairs that each took."""
    model = Learner(copies_examples=copies_examples)

    async def work():
        async with workshop(folder) as parts:
            prompts = RouterPrompts(
                manifests_of(parts.workspace),
                examples_from(parts.index, node_store(parts.workspace)) if examples else lambda _: (),
                lessons_from(parts.index) if lessons else lambda _: (),
            )
            policy = Policy(model_per="node", tools=("summarizer",))
            worker = Worker(parts.queue, parts.shelf, model, prompts, quiet, policy)
            for number, subject in enumerate(SUBJECTS[:4]):
                await work_off(parts, [task(number, subject=subject)], worker)

    asyncio.run(work())
    made = sorted(records(folder).values(), key=lambda record: record["created"])
    assert [record["generator"]["kind"] for record in made] == ["model"] * 4
    return [record["generator"].get("repairs", 0) for record in made]


@pytest.mark.parametrize("how", ["lessons", "examples", "neither"])
def test_repairs_a_task_fall_with_examples_and_with_lessons_and_only_then(tmp_path, how):
    found = repairs_of(
        tmp_path, copies_examples=how == "examples", examples=how == "examples", lessons=how == "lessons"
    )
    assert found == ([2, 2, 2, 2] if how == "neither" else [2, 0, 0, 0])


def test_a_task_without_an_id_that_comes_again_a_day_later_is_reused_and_not_generated(tmp_path):
    anonymous = read_message([{"taskName": "Harbour report", "taskType": "summarize", "content": "Text."}]).tasks[0]

    async def work():
        async with workshop(tmp_path) as parts:
            await work_off(parts, [anonymous])
            parts.queue._options.clock = lambda: time.time() + 25 * 3600.0
            return await work_off(parts, [anonymous])

    counts = asyncio.run(work())
    assert (counts.generated, counts.reused) == (1, 1)


# ── what people say ──────────────────────────────────────────────────────────────────────────────────────────────────
def rate(folder, name, rating):
    assert nodes.main(["rate", name, rating, "--note", "as a test", "--workspace", str(folder)]) == 0


def test_a_bad_node_is_made_anew_once_and_stays_until_then(tmp_path, capsys):
    async def work(*tasks):
        async with workshop(tmp_path) as parts:
            return await work_off(parts, tasks)

    asyncio.run(work(task(1)))
    (first,) = records(tmp_path)
    rate(tmp_path, first, "bad")
    # Without a model the composer writes the same program: no version is made of it, and the old node goes on serving.
    counts = asyncio.run(work(task(2), task(3)))
    assert (counts.generated, counts.reused) == (1, 2)
    assert list(records(tmp_path)) == [first]
    # A program that is another one becomes the next version; the predecessor stays.
    other = compose(SUMMARIZE, translations=False, fields=("content",)).decode().replace("do the work", "do that work")

    class Writer(Learner):
        async def ask(self, ask):
            return self._say("{}" if ask.purpose == "plan" else f"```python\n{other}```")

    async def with_model():
        async with workshop(tmp_path) as parts:
            prompts = RouterPrompts(manifests_of(parts.workspace), lambda _: (), lambda _: ())
            worker = Worker(parts.queue, parts.shelf, Writer(copies_examples=False), prompts, quiet, Policy())
            return await work_off(parts, [task(4), task(5)], worker)

    counts = asyncio.run(with_model())
    assert (counts.generated, counts.reused) == (2, 3)
    made = records(tmp_path)
    assert (made[f"{first}_2"]["version"], made[f"{first}_2"]["parent"]) == (2, first)
    assert made[first]["rating"] == "bad"
    capsys.readouterr()
    assert nodes.main(["list", "--json", "--workspace", str(tmp_path)]) == 0
    listed = json.loads(capsys.readouterr().out)["nodes"]
    assert {one["name"]: one["rating"] for one in listed} == {first: "bad", f"{first}_2": ""}


def test_a_rating_survives_a_rebuild(tmp_path, capsys):
    async def work():
        async with workshop(tmp_path) as parts:
            await work_off(parts, [task(1)])

    asyncio.run(work())
    (name,) = records(tmp_path)
    rate(tmp_path, name, "good")
    code, found, _ = run([*CLI, "registry", "rebuild", "--json", "--workspace", str(tmp_path)])
    assert (code, found["nodes"]) == (0, 1)
    capsys.readouterr()
    nodes.main(["list", "--json", "--workspace", str(tmp_path)])
    assert json.loads(capsys.readouterr().out)["nodes"][0]["rating"] == "good"


def test_a_rebuild_is_refused_while_a_connector_holds_the_workspace(tmp_path, capsys):
    workspace = Workspace.at(tmp_path)
    with hold(workspace, {"command": "test"}):
        assert registry.main(["rebuild", "--json", "--workspace", str(tmp_path)]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "workspace_held"
    assert not workspace.index.exists()


def test_failures_in_use_are_counted_unless_that_is_switched_off(tmp_path, capsys):
    async def work():
        async with workshop(tmp_path) as parts:
            await work_off(parts, [task(1, "translate", languages=("fr",))])

    asyncio.run(work())
    (name,) = records(tmp_path)
    node = [sys.executable, str(tmp_path / "nodes" / name / "main.py")]
    given = json.dumps({"id": "1", "content": "x", "translationLanguages": [{"from": "en", "to": "fr"}]}).encode()
    nowhere = {"CODE_EVOLVER_LLM_URL": "http://127.0.0.1:9", "CODE_EVOLVER_LLM_MODEL": "m"}
    assert run(node, given, env=environment(**nowhere))[0] == 1
    assert run(node, given, env=environment(**nowhere, CODE_EVOLVER_COUNT_NODE_FAILURES="0"))[0] == 1
    assert run(node, b'{"id": 1}', env=environment())[0] == 2  # bad input is not the node's fault
    nodes.main(["show", name, "--json", "--workspace", str(tmp_path)])
    assert json.loads(capsys.readouterr().out)["failures"] == 1


# ── training set, accounts, replay ───────────────────────────────────────────────────────────────────────────────────
def test_a_training_set_has_each_program_once_with_its_repairs_and_nothing_of_a_customer(tmp_path, capsys):
    repairs_of(tmp_path, lessons=False)
    out = tmp_path / "set.jsonl"
    assert export.main(["--format", "chat", "--output", str(out), "--workspace", str(tmp_path)]) == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    row = json.loads(lines[0])
    assert [message["role"] for message in row["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    assert "import os" in row["messages"][2]["content"]
    assert row["messages"][-1]["content"] == f"```python\n{GOOD.rstrip()}\n```"
    assert row["provenance"]["generator"]["model"] == "learner"
    assert row["licence"]
    assert "Text 0." not in lines[0]
    capsys.readouterr()
    assert export.main(["--format", "jsonl", "--workspace", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["code"] == GOOD


def test_stats_add_up_and_are_drawn(tmp_path, capsys):
    repairs_of(tmp_path, lessons=False)
    svg = tmp_path / "plot.svg"
    assert stats.main(["--json", "--svg", str(svg), "--workspace", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["generated"] == 4
    assert found["total"]["repairs"] == 8
    assert found["total"]["calls"] == sum(row["calls"] for row in found["days"]) == 16
    assert found["total"]["tokens_in"] == 1600
    ET.fromstring(svg.read_text(encoding="utf-8"))
    assert stats.main(["--workspace", str(tmp_path)]) == 0
    assert "summarize" in capsys.readouterr().out


def test_a_recording_replayed_gives_the_same_nodes_and_names_one_that_drifted(tmp_path, capsys):
    recording, first, second = tmp_path / "hub.jsonl", tmp_path / "first", tmp_path / "second"
    with hub("demo") as server:
        door = Door([*CLI, "record", "--hub-url", server.url, "--output", str(recording), "--json"])
        try:
            server.wait_for_client()
            sent = [{"id": f"r-{n}", "taskName": f"Summarize {SUBJECTS[n % 3]} report", "taskType": "summarize", "content": "Text."}
                    for n in range(6)]  # fmt: skip
            server.post("send", [*sent, 17], method="TaskHub")
            until(lambda: recording.exists() and recording.stat().st_size > 0, "the recording")
            door.signal(15)
            code, found = door.end()
        finally:
            door.kill()
    assert code == 0
    assert found["messages"] >= 1
    for folder in (first, second):
        assert replay.main([str(recording), "--workspace", str(folder), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)["result"]
        assert (result["workflows_generated"], result["workflows_reused"]) == (3, 3)
    assert replay.main([str(recording), "--workspace", str(tmp_path / "third"), "--compare", str(first), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["drift"]["same"]) == 3
    registry = json.loads((first / "registry.json").read_text(encoding="utf-8"))
    name = min(registry["nodes"])
    registry["nodes"][name]["sha256"] = "0" * 64
    (first / "registry.json").write_text(json.dumps(registry), encoding="utf-8")
    assert (
        replay.main([str(recording), "--workspace", str(tmp_path / "fourth"), "--compare", str(first), "--json"]) == 1
    )
    assert json.loads(capsys.readouterr().out)["drift"]["drifted"] == [name]
