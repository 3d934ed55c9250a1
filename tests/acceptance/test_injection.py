"""Prompt injection is data: whatever a hub's text says, tools, names, paths and settings stay what they were.

Real road: demo hub → connector → nodes, with the composer, with a model server that obeys the text, and with a random model.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from code_evolver.core.gate import check, tools_of
from code_evolver.core.naming import safe_name
from code_evolver.core.strict_json import escape
from code_evolver.edges.manifests import load_manifests
from tests.acceptance_kit import CLI, CONNECTOR, DOCUMENT, LAUNCHER, ROOT, Door, adds_up, environment, hub, run, until
from tests.evil_model import FORMS, attacks, evil_model
from tests.injections import SECRET, TEXTS, task
from tests.llm_server import llama

COMPOSED = {"summarizer", "quick_translator"}
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
LIVELY = {"ignore", "fence_breaker", "long_fence", "fake_findings", "template_result", "proto", "path_up", "terminal", "right_to_left",
          "markdown", "html", "mermaid", "mention"}  # fmt: skip
"""Texts that a node of an unknown type, accepted from a model, gets as its title as well."""
NODE_FILES = {"main.py", "node.json", "README.md"}


@pytest.fixture
def place(tmp_path):
    """A workspace in a folder with a neighbour: both are looked at afterwards."""
    for name in ("ws", "marks", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "ws" / "config.yaml").write_text("drain_timeout_seconds: 20\n", encoding="utf-8")
    return tmp_path


def work(
    place: Path,
    tasks: list[dict[str, Any]],
    *,
    command: list[str] | None = None,
    env: dict[str, str] | None = None,
    seconds: float = 250.0,
    **settings: Any,
) -> tuple[Door, dict[str, Any]]:
    """Send tasks through the real road, each in a message of its own; give the ended door and its result."""
    env = env or environment()
    with hub("demo") as server:
        given = {"hub_url": server.url, "workspace": str(place / "ws"), **settings}
        words = [*command, "--hub-url", server.url, "--workspace", str(place / "ws")] if command else CONNECTOR
        door = Door(words, stdin=b"" if command else json.dumps(given).encode(), env=env, cwd=place / "home")
        try:
            until(
                lambda: door.process.poll() is not None or any("onnected" in line for line in door.lines),
                "a connection",
            )
            assert door.process.poll() is None, door.lines
            for one in tasks:
                server.post("send", one, method="TaskHub")
            ended(door, len(tasks), seconds)
            door.signal(15)
            _, result = door.end()
        finally:
            door.kill()
    return door, result


ENDS = ('"event":"task_completed"', '"event":"task_dead_lettered"', "  generated: ", "  reused: ", "  failed: ")


def ended(door: Door, count: int, seconds: float) -> None:
    """Wait until every task has its one end."""

    def look() -> bool:
        assert door.process.poll() is None, door.lines[-20:]
        return sum(any(mark in line for mark in ENDS) for line in list(door.lines)) >= count

    until(look, f"{count} tasks to end", seconds)


def strings(value: Any) -> list[str]:
    """Every text in a JSON value, keys too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *strings(item))]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else []


def look_at_workspace(place: Path, tools: set[str]) -> list[str]:
    """Say everything in the workspace that an injection has changed."""
    ws, wrong = place / "ws", []
    if {path.name for path in ws.iterdir()} - {"nodes", "registry.json", ".code_evolver", "config.yaml"}:
        wrong.append(f"files in the workspace: {sorted(path.name for path in ws.iterdir())}")
    if (ws / "config.yaml").read_text(encoding="utf-8") != "drain_timeout_seconds: 20\n":
        wrong.append("config.yaml was changed")
    wrong += [f"left behind: {path}" for folder in ("marks", "home") for path in (place / folder).rglob("*")]
    wrong += [f"beside the workspace: {path}" for path in place.iterdir() if path.name not in {"ws", "marks", "home"}]
    wrong += [
        f"{folder.name}: {what}" for folder in sorted((ws / "nodes").iterdir()) for what in look_at_node(folder, tools)
    ]
    shown = (ws / "registry.json").read_text(encoding="utf-8")
    if SECRET in shown or UNSAFE.search(shown):
        wrong.append("registry.json holds a customer's words or a control character")
    return wrong


def look_at_node(folder: Path, tools: set[str]) -> list[str]:
    wrong = []
    if not safe_name(folder.name) or {path.name for path in folder.iterdir()} != NODE_FILES:
        wrong.append(f"its name or files: {sorted(path.name for path in folder.iterdir())}")
    code = (folder / "main.py").read_bytes()
    if check(code) or not set(tools_of(code)) <= tools:
        wrong.append(f"its program: {check(code)[:1]} {tools_of(code)}")
    for name in sorted(NODE_FILES):
        text = (folder / name).read_text(encoding="utf-8")
        wrong += [f"{name} holds a customer's words"] * (SECRET in text)
        wrong += [f"{name} holds {found.group()!r}" for found in [UNSAFE.search(text)] if found]
    record = json.loads((folder / "node.json").read_text(encoding="utf-8"))
    wrong += [f"node.json: {text!r}" for text in strings(record) if text != escape(text) or "\n" in text]
    wrong += [f"node.json: sample {record['sample']}"] * bool(SECRET in json.dumps(record))
    if set(record["tools"]) != set(tools_of(code)) or record["name"] != folder.name:
        wrong.append(f"node.json: tools {record['tools']}, name {record['name']}")
    return wrong + look_at_readme((folder / "README.md").read_text(encoding="utf-8"))


def look_at_readme(text: str) -> list[str]:
    """Outside of its fences a README may hold no live markup that came from a text."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    live = (r"(?<!\\)<(?=[a-z!/])", r"(?<!\\)\]\((?!#)", r"^# Heading", r"(?<!\\)!\[", r"@everyone", r"://evil")
    return [
        f"README: {found.group()!r} is alive"
        for pattern in live
        for found in [re.search(pattern, outside, re.MULTILINE | re.IGNORECASE)]
        if found
    ]


def look_at_screens(place: Path) -> list[str]:
    """Say which command shows a terminal something that it would obey."""
    wrong = []
    ws = str(place / "ws")
    names = sorted(path.name for path in (place / "ws" / "nodes").iterdir())
    screens = [["nodes", "list"], ["nodes", "list", "--json"], ["dead", "list"], ["dead", "list", "--json"], ["status"], ["nodes", "show", names[0]],
               ["nodes", "show", names[-1], "--json"]]  # fmt: skip
    for words in screens:
        done = subprocess.run(
            [*CLI, *words, "--workspace", ws],
            capture_output=True,
            env=environment(),
            cwd=place / "home",
            timeout=60,
            check=False,
        )
        shown = done.stdout.decode() + done.stderr.decode()
        found = UNSAFE.search(shown)
        if done.returncode or found or (SECRET in shown and words[0] == "nodes"):
            wrong.append(
                f"{' '.join(words)}: exit {done.returncode}, {found!r} {shown[-200:] if done.returncode else ''}"
            )
    return wrong


def look_at_events(door: Door) -> list[str]:
    text = "\n".join(door.lines)
    found = UNSAFE.search(text)
    wrong = [f"an event holds {found.group()!r}"] if found else []
    changed = any("evil" in json.dumps(event) for event in door.named("connected"))
    return [*wrong, "the hub was changed"] if changed else wrong


def batch() -> list[dict[str, Any]]:
    """Every text in every place, and as a type of its own."""
    known = [task(number, key, text) for number, (key, text) in enumerate(TEXTS.items())]
    kinds = [task(1000 + number, key, text, kind=text) for number, (key, text) in enumerate(TEXTS.items())]
    names = [
        {"id": f"n{number}", "taskName": text, "llmTaskType": "summarize", "content": SECRET}
        for number, text in enumerate(TEXTS.values())
    ]
    return known + kinds + names


def test_there_are_at_least_forty_injections():
    assert len(set(TEXTS.values())) >= 40


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_composed_nodes_are_what_they_would_have_been_without_any_injection(place):
    tasks = batch()
    door, result = work(place, tasks, llm="off")
    assert adds_up(result), result
    assert result["tasks_received"] == len(tasks)
    wrong = [*look_at_workspace(place, COMPOSED), *look_at_events(door), *look_at_screens(place)]
    assert not wrong, "\n".join(wrong[:20])
    programs = {path.read_bytes() for path in (place / "ws" / "nodes").glob("*/main.py")}
    assert len(programs) == 2, "one program with translations and one without"


def test_what_a_person_sees_is_escaped(place):
    tasks = batch()[: len(TEXTS)]
    door, _ = work(place, tasks, command=[*LAUNCHER, "--llm", "off"])
    assert look_at_events(door) == []
    assert any("Queue Size" in line for line in door.lines)


def orders(marks: Path) -> list[str]:
    """What the evil model is told to do: every attack, and some in other forms of an answer."""
    return [*attacks(str(marks)), *(f"{form}__honest" for form in FORMS), "as_json__import_os"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_obeys_the_text_changes_nothing(place):
    texts, wanted = list(TEXTS.items()), orders(place / "marks")
    tasks = [
        task(number, *texts[number % len(texts)], order=f"[[obey:{wanted[number % len(wanted)]}]]", kind=kind)
        for number, kind in enumerate([*["summarize"] * len(texts), *["classify"] * len(wanted)])
    ]
    tasks += [
        task(500 + number, key, text, order="[[obey:honest_other]]", kind="classify")
        for number, (key, text) in enumerate(texts)
        if key in LIVELY
    ]
    for one in tasks:
        one.pop("translationLanguages")  # the evil programs translate nothing: without them their deed alone is judged
    with evil_model(attacks(str(place / "marks"))) as model:
        env = environment(CODE_EVOLVER_LLM_URL=model.url, CODE_EVOLVER_LLM_API_KEY="sk-canary-0123456789")
        door, result = work(place, tasks, env=env, model_per="node", llm="required")
    assert adds_up(result), result
    assert result["tasks_received"] == len(tasks)
    wrong = [
        *look_at_workspace(place, {"summarizer"}),
        *look_at_events(door),
        *look_at_screens(place),
        *look_at_prompts(model.seen),
    ]
    assert not wrong, "\n".join(wrong[:20])
    kinds = [
        json.loads(path.read_bytes())["generator"]["kind"] for path in (place / "ws" / "nodes").glob("*/node.json")
    ]
    assert {"model", "composer"} <= set(kinds), "some drafts were good, and the others were replaced"
    rules = {finding["rule"] for event in door.named("workflow_rejected") for finding in event["findings"]}
    assert len(rules) > 5, rules


def look_at_prompts(seen: list[dict[str, Any]]) -> list[str]:
    """Foreign text stands in a fence of the user's message, and nowhere else."""
    seen = [body for body in seen if len(body["messages"]) > 1]  # without the looks whether and how the model answers
    assert len(seen) > len(TEXTS)
    manifests = load_manifests([ROOT / "tools"])
    systems = {manifest.llm.system_prompt for manifest in manifests.values() if manifest.llm}
    tools = next(
        section
        for section in re.split(r"^# ", seen[0]["messages"][1]["content"], flags=re.MULTILINE)
        if section.startswith("Tools that")
    )
    wrong = []
    for body in seen:
        system, user = (message["content"] for message in body["messages"])
        if [message["role"] for message in body["messages"]] != ["system", "user"] or system not in systems:
            wrong.append(f"the system prompt: {system[:200]!r}")
        if set(body) - {
            "messages",
            "max_tokens",
            "max_completion_tokens",
            "stream",
            "temperature",
            "response_format",
            "model",
        }:
            wrong.append(f"the request: {sorted(body)}")
        outside = outside_fences(user)
        wrong += [
            f"outside a fence: {mark}"
            for mark in (SECRET, "obey:", "OWNED", "passwd", "evil", "Ignore all", "<|im")
            if mark in outside
        ]
        wrong += ["the list of tools"] * (f"# {tools}" not in user)
        wrong += [f"the prompt holds {found.group()!r}" for found in [UNSAFE.search(user)] if found]
        wrong += ["a key"] * ("sk-canary" in json.dumps(body))
    return wrong


def outside_fences(text: str) -> str:
    """Give what stands outside of fenced blocks, by CommonMark's rule."""
    kept, mark = [], ""
    for line in text.split("\n"):
        found = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if not mark and found and "`" not in found[2]:
            mark = found[1]
        elif mark and found and found[1].startswith(mark) and not found[2].strip():
            mark = ""
        elif not mark:
            kept.append(line)
    assert not mark, "a fence was left open"
    return "\n".join(kept)


@pytest.mark.llm
@pytest.mark.timeout(400)  # the first run installs the server
def test_a_random_model_changes_nothing(place):
    chosen = ("ignore", "fence_breaker", "template", "path_up")
    tasks = [task(number, key, TEXTS[key]) for number, key in enumerate(chosen)]
    with llama() as model:
        env = environment(CODE_EVOLVER_LLM_URL=model.url)
        door, result = work(place, tasks, env=env, llm="required", model_per="node", max_tokens=20_000)
    assert adds_up(result), result
    assert result["tasks_received"] == len(tasks)
    wrong = [*look_at_workspace(place, COMPOSED), *look_at_events(door), *look_at_screens(place)]
    assert not wrong, "\n".join(wrong[:20])


def test_a_readme_written_for_an_evil_title_obeys_none_of_it(place):
    door, _ = work(place, [task(0, "ignore", TEXTS["ignore"])], llm="off")
    (folder,) = (place / "ws" / "nodes").iterdir()
    record = json.loads((folder / "node.json").read_bytes())
    wrong = []
    for text in (TEXTS[key] for key in sorted(LIVELY)):
        changed = {
            **record,
            "title": text,
            "description": text,
            "source_task": text,
            "generator": {"kind": "model", "model": text},
        }
        (folder / "node.json").write_text(json.dumps(changed), encoding="utf-8")
        code, printed, err = run([*DOCUMENT], json.dumps({"node": folder.name, "workspace": str(place / "ws")}).encode(),
                                 env=environment(CODE_EVOLVER_LLM="off"))  # fmt: skip
        assert code == 0, (printed, err)
        readme = (folder / "README.md").read_text(encoding="utf-8")
        wrong += look_at_readme(readme) + [f"{found.group()!r}" for found in [UNSAFE.search(readme)] if found]
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert not wrong, "\n".join(wrong)
    assert door.process.returncode == 0
