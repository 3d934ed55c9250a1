"""The one place that constructs edges: for the connector, the tools, the commands, and nodes started by hand."""

import asyncio
import contextlib
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from code_evolver.configuration import load, shipped_root
from code_evolver.core.errors import StoreError
from code_evolver.core.events import timestamp
from code_evolver.core.examples import nearest, words_of_task
from code_evolver.core.hub_address import public_url
from code_evolver.core.llm_config import LlmConfig, combine, from_environment, read_config
from code_evolver.core.manifest import Manifest
from code_evolver.core.prompt import MOST_EXAMPLES, Example
from code_evolver.core.redact import Redactor
from code_evolver.core.session import HubSettings
from code_evolver.core.settings import Layer, Resolved, Settings
from code_evolver.core.shape import program_key
from code_evolver.core.strict_json import dumps, escape
from code_evolver.core.task import Task
from code_evolver.edges.failures import FailureLog
from code_evolver.edges.hub.drive import HubListener
from code_evolver.edges.llm import HttpModels, discover
from code_evolver.edges.manifests import load_manifests
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.edges.output_file import OutputFile
from code_evolver.edges.prompt_files import PromptFiles
from code_evolver.edges.queue_sqlite import SqliteQueue
from code_evolver.edges.tool_http import HttpTools, servers
from code_evolver.edges.tool_process import ProcessTools
from code_evolver.edges.toolbox import RunNode, Toolbox
from code_evolver.edges.trial import ChildTrials
from code_evolver.edges.workspace import Workspace, hold
from code_evolver.ports import Answer, Call, Emit, Received
from code_evolver.prompting import RouterPrompts, callable_tools
from code_evolver.secrets_of import secrets_of
from code_evolver.shelf import NodeShelf
from code_evolver.worker import KeepPrompts, Policy, Worker

Receive = Callable[[Sequence[Received]], Awaitable[Sequence[Mapping[str, Any] | None]]]


@dataclass(slots=True)
class Parts:
    """Everything a run is made of."""

    settings: Settings
    workspace: Workspace
    queue: SqliteQueue
    index: NodeIndex
    shelf: NodeShelf
    trials: ChildTrials
    models: HttpModels
    worker: Worker
    emit: Emit
    ended: asyncio.Event
    output: OutputFile | None = None
    listener: HubListener | None = None
    shown_hub_url: str = ""
    learn: Callable[[str], None] = lambda _secret: None

    def listen(self, receive: Receive) -> HubListener:
        """Make the hub listener."""
        self.listener = HubListener(hub_settings(self.settings), receive=receive, emit=self.emit, learn=self.learn)
        return self.listener

    def notices(self) -> list[str]:
        """Give what opening the files found, for a person."""
        return self.queue.notices

    async def model_answers(self) -> bool:
        """Say whether a model backend is configured and answers now."""
        rows = await self.models.check_backend()
        return self.models.configured and any(
            what.endswith(" answer") and status == "ok" for what, status, _, _ in rows
        )


@asynccontextmanager
async def assemble(resolved: Resolved, emit: Emit, *, hub: bool) -> AsyncIterator[Parts]:
    """Hold the workspace and construct everything a run needs; close it all at the end.

    Raises WorkspaceHeld, StoreError, ConfigurationError, and InputError for an output file that may not be touched.
    """
    settings = resolved.settings
    workspace = Workspace.at(Path(settings.workspace))
    async with AsyncExitStack() as stack:
        owner = {"started": timestamp(time.time()), "command": "connector" if hub else "work"}
        stack.enter_context(hold(workspace, owner))
        output = OutputFile.open(Path(settings.output_file), workspace.state) if settings.output_file else None
        if output:
            stack.callback(output.close)
        queue = SqliteQueue.open(
            workspace.queue, owner=owner, reserve=workspace.reserve, use_priority=settings.use_priority,
            use_due_date=settings.use_due_date, skip_closed=settings.skip_closed, reports=bool(settings.report_method),
        )  # fmt: skip
        stack.push_async_callback(queue.close)
        parts = await _construct(resolved, workspace, queue, emit, stack)
        parts.output = output
        parts.shown_hub_url = public_url(settings.hub_url) if settings.hub_url else ""
        yield parts


async def _construct(
    resolved: Resolved, workspace: Workspace, queue: SqliteQueue, emit: Emit, stack: AsyncExitStack
) -> Parts:
    settings = resolved.settings
    manifests = manifests_of(workspace)
    trials = ChildTrials(tagged=tags_of(manifests))
    stack.callback(trials.close)
    index = NodeIndex(workspace.index, workspace.registry)
    stack.callback(index.close)
    nodes = node_store(workspace)
    tools = frozenset(one.name for one in callable_tools(manifests))
    shelf = NodeShelf(nodes, index, trials, tools=tools, versions=versions_of(manifests), emit=emit)
    # Both wait for others (a model server, a child): together, for the hub is not called before.
    models, _ = await asyncio.gather(
        models_of(resolved, emit, workspace.state / "models.json"), asyncio.to_thread(trials.level)
    )
    stack.push_async_callback(models.close)
    ended = asyncio.Event()

    def emit_and_wake(name: str, /, **fields_: Any) -> None:
        emit(name, **fields_)
        if name in ("task_completed", "task_dead_lettered"):
            ended.set()

    worker = Worker(
        queue,
        shelf,
        models,
        RouterPrompts(manifests, examples_from(index, nodes), lessons_from(index)),
        emit_and_wake,
        replace(
            policy_of(settings, trials, tools, models.config),
            keep_prompts=prompt_files(resolved, models.config, workspace.state / "prompts", emit),
        ),
    )
    return Parts(settings, workspace, queue, index, shelf, trials, models, worker, emit, ended)


def prompt_files(resolved: Resolved, config: LlmConfig, folder: Path, emit: Emit) -> KeepPrompts | None:
    """Give where prompts and answers of accepted programs are kept; None: they are not."""
    if not (resolved.settings.keep_prompts or config.keep_prompts):
        return None
    return PromptFiles(folder, Redactor(secrets_of(resolved)).clean, emit).keep


def policy_of(settings: Settings, trials: ChildTrials, tools: frozenset[str], config: LlmConfig) -> Policy:
    """Say what the settings and this machine allow."""
    allowed = settings.isolation == "guarded" or trials.level()[0] == "isolated"
    return Policy(
        model_per=settings.model_per, model_code_may_run=allowed, models_off=settings.llm == "off", tools=tuple(sorted(tools)),
        patience_seconds=config.patience_seconds, task_seconds=config.task_seconds,
    )  # fmt: skip


def hub_settings(settings: Settings) -> HubSettings:
    """Give the part of the settings that the hub edge takes."""
    mine = {field.name for field in fields(HubSettings)}
    return HubSettings(
        **{field.name: getattr(settings, field.name) for field in fields(Settings) if field.name in mine}
    )


def manifests_of(workspace: Workspace) -> dict[str, Manifest]:
    """Read the workspace's own tools and the shipped ones."""
    own, shipped = workspace.tools, shipped_root() / "tools"
    return load_manifests([shipped] if own == shipped else [own, shipped])


def tags_of(manifests: Mapping[str, Manifest]) -> dict[str, list[str]]:
    """Give tag → tools that carry it, of those that workflows may call."""
    found: dict[str, list[str]] = {}
    for manifest in callable_tools(manifests):
        for tag in manifest.tags:
            found.setdefault(tag, []).append(manifest.name)
    return found


def versions_of(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Give the hashes of runtime and manifests: a proof holds for these."""
    child = Path(__file__).resolve().parent / "child"
    runtime = hashlib.sha256(b"".join(path.read_bytes().replace(b"\r\n", b"\n") for path in sorted(child.glob("*.py"))))
    shown = repr([(one.name, one.input_schema, one.output_schema, one.type) for one in callable_tools(manifests)])
    return {"runtime": runtime.hexdigest(), "manifests": hashlib.sha256(shown.encode()).hexdigest()}


def node_store(workspace: Workspace) -> NodeStore:
    """Give the nodes of a workspace."""
    return NodeStore(workspace.nodes, workspace.state / "staged")


def failures_of(workspace: Workspace) -> FailureLog:
    """Give the count of nodes' failures in use."""
    return FailureLog(workspace.state / "failures.jsonl")


def llm_config(resolved: Resolved) -> LlmConfig | None:
    """Give the model backends that config.yaml and the environment name."""
    section = resolved.sections.get("llm")
    return combine(read_config(section) if section else None, from_environment(os.environ))


async def models_of(resolved: Resolved, emit: Emit, memory: Path | None = None) -> HttpModels:
    """Give the models: configured ones, else an Ollama on its usual port (llm: auto), else none."""
    config = None
    if resolved.settings.llm != "off":
        config = llm_config(resolved) or await discover()
    if config and resolved.settings.max_tokens:
        config = replace(config, max_tokens=resolved.settings.max_tokens)
    return HttpModels(config, emit, memory=memory)


def examples_from(index: NodeIndex, nodes: NodeStore) -> Callable[[Task], Sequence[Example]]:
    """Give what finds the proven programs that are most like a task's."""

    def find(task: Task) -> Sequence[Example]:
        near = nearest(task, index.near(task.type, words_of_task(task)), MOST_EXAMPLES)
        found = []
        for one in near:
            with contextlib.suppress(StoreError):  # damaged since: no example
                if nodes.record(one.name).get("quotes_task"):  # one customer's words are nothing for another's prompt
                    continue
                found.append(Example(one.title, nodes.code(one.name).decode("utf-8", "replace")))
        return found

    return find


def lessons_from(index: NodeIndex) -> Callable[[Task], Sequence[tuple[str, str]]]:
    """Give what finds what earlier drafts of a task's kind got wrong."""
    return lambda task: index.lessons(program_key(task), task.type)


def toolbox(
    resolved: Resolved,
    manifests: Mapping[str, Manifest],
    models: HttpModels,
    emit: Emit | None = None,
    run_node: RunNode | None = None,
) -> Toolbox:
    """Give the real tools. `run_node` runs tools of type workflow (host.node_tool)."""
    roots = (Path(resolved.settings.workspace), shipped_root())
    http = HttpTools(servers(os.environ, resolved.sections.get("tools")))
    return Toolbox(manifests, models, run_node=run_node, emit=emit, http=http, processes=ProcessTools(roots))


def proof_kit(workspace: Path | None = None) -> tuple[ChildTrials, frozenset[str], dict[str, str]]:
    """Give what a proof needs: trials, the tools' names, the versions."""
    manifests = manifests_of(Workspace.at(workspace or Path(load(Layer({}, {})).settings.workspace)))
    tools = frozenset(one.name for one in callable_tools(manifests))
    return ChildTrials(tagged=tags_of(manifests)), tools, versions_of(manifests)


def answerer(workspace: Path, run_node: RunNode | None = None) -> Callable[[Sequence[Call]], Sequence[Answer]]:
    """Give what answers a node's tool calls with the real tools of a workspace, of those that nodes may call.

    Each list of calls runs at once, bounded.
    """
    resolved = load(Layer({"workspace": str(workspace)}, {"workspace": "node"}))
    manifests = {one.name: one for one in callable_tools(manifests_of(Workspace.at(workspace)))}

    async def answer(calls: Sequence[Call]) -> Sequence[Answer]:
        models = await models_of(resolved, _to_stderr)
        try:
            return await toolbox(resolved, manifests, models, _to_stderr, run_node).call_many(calls)
        finally:
            await models.close()

    return lambda calls: asyncio.run(answer(calls))


def _to_stderr(name: str, /, **fields_: Any) -> None:
    """A node by hand tells only what a person must know: as JSON, for a program must see `"degraded": true` as well."""
    if name in ("notice", "llm_unavailable", "llm_failed"):
        sys.stderr.write(escape(dumps({"event": name, **fields_})) + "\n")
        sys.stderr.flush()
