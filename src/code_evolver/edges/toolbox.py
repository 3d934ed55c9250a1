"""The tools that workflows call by name: each call goes where its manifest says."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from code_evolver.core import strict_json
from code_evolver.core.errors import CodeEvolverError, InputError, ModelError, ToolError, UnknownTool
from code_evolver.core.extract import summarize
from code_evolver.core.llm_config import TIERS
from code_evolver.core.manifest import Llm, Manifest, nearest
from code_evolver.core.strict_json import show
from code_evolver.core.tool_prompt import question
from code_evolver.ports import Answer, Ask, Call, Emit, Models

AT_ONCE: Final = 8
"""Calls of one list that are under way together."""
MAX_ARGUMENTS: Final = 20_000_000
"""Characters of one call's JSON."""
RunNode = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""run_node(name, input) → the node's document. Raises NodeError."""


class HttpCaller(Protocol):
    """Asks tools of type http (edges.tool_http.HttpTools)."""

    def server(self, manifest: Manifest) -> str:
        """Give the server's address, "" for none."""

    async def call(self, manifest: Manifest, values: Mapping[str, str]) -> str:
        """Ask. Raises ToolError."""


class ProcessCaller(Protocol):
    """Runs tools of type executable (edges.tool_process.ProcessTools)."""

    async def call(self, manifest: Manifest, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Run. Raises ToolError."""


class Toolbox:
    """All tools. An unknown name is an error that names the nearest: nothing is ever replaced silently."""

    def __init__(
        self,
        manifests: Mapping[str, Manifest],
        models: Models,
        *,
        run_node: RunNode | None = None,
        emit: Emit | None = None,
        http: HttpCaller | None = None,
        processes: ProcessCaller | None = None,
    ) -> None:
        """Take what the tools need; a kind whose caller is missing fails with a ToolError."""
        self._manifests = manifests
        self._models = models
        self._run_node = run_node
        self._emit = emit
        self._http = http
        self._processes = processes

    def names(self) -> list[str]:
        """List the tools."""
        return sorted(self._manifests)

    def by_tag(self, tag: str) -> list[str]:
        """List the tools that have a tag."""
        return sorted(name for name, manifest in self._manifests.items() if tag in manifest.tags)

    def manifest(self, name: str) -> Manifest:
        """Find a tool's manifest. Raises UnknownTool, which names the nearest tool."""
        found = self._manifests.get(name)
        if found is None:
            meant = nearest(name, self._manifests)
            hint = f"Did you mean {meant}?" if meant else f"Known: {', '.join(self.names()) or 'none'}."
            raise UnknownTool(f"There is no tool {show(name, 60)}.", hint)
        return found

    async def call(self, tool: str, prompt: str, arguments: Mapping[str, Any]) -> str:
        """Call one tool and give its text. Raises ToolError (with the code of what lies below) or UnknownTool."""
        manifest = self.manifest(tool)
        payload = self._payload(manifest, prompt, arguments)
        try:
            if manifest.llm is not None:
                return await self._ask(manifest, manifest.llm, payload)
            if manifest.http is not None:
                return await self._fetch(manifest, payload)
            if manifest.executable is not None:
                return await self._run(manifest, payload)
            return await self._node(manifest, payload)
        except ToolError:
            raise
        except CodeEvolverError as error:
            raise ToolError(f"{tool}: {error.message}", error.hint, code=error.actual_code) from error

    async def call_many(self, calls: Sequence[Call]) -> list[Answer]:
        """Call tools at once, at most eight together; answers and errors in the order of the calls."""
        room = asyncio.Semaphore(AT_ONCE)

        async def one(call: Call) -> Answer:
            async with room:
                try:
                    return Answer(text=await self.call(call.tool, call.prompt, call.arguments))
                except ToolError as error:
                    return Answer(error=f"{error.message} {error.hint}".strip(), code=error.actual_code)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
        return [task.result() for task in tasks]

    def _payload(self, manifest: Manifest, prompt: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make the tool's input of the call, and hold it against its schema.

        A tool whose input_schema has no `prompt` takes the prompt's text as its JSON object, arguments beside.
        """
        given = dict(arguments)
        if "prompt" in manifest.input_schema.get("properties", {}):
            payload = {**given, "prompt": prompt}
        else:
            payload = {**_object(manifest, prompt), **given}
        if len(strict_json.dumps(payload)) > MAX_ARGUMENTS:
            raise ToolError(
                f"{manifest.name}: over {MAX_ARGUMENTS:,} characters.", "Send it in pieces.", code="bad_input"
            )
        try:
            manifest.check_input(payload)
        except InputError as error:
            raise ToolError(error.message, error.hint, code=error.actual_code) from error
        return payload

    async def _ask(self, manifest: Manifest, part: Llm, payload: Mapping[str, Any]) -> str:
        system, user = question(part, payload)
        purpose = f"tool:{manifest.name}"
        try:
            tier = _tier(manifest, part, payload)
            ask = Ask(purpose, tier, system, user, max_tokens=part.max_tokens, temperature=part.temperature)
            return _text(manifest, (await self._models.ask(ask)).text)
        except ModelError as error:
            if part.fallback != "extractive":
                raise
            self._degraded(manifest.name, error)
            return summarize(str(payload.get("prompt", "")))

    def _degraded(self, tool: str, error: ModelError) -> None:
        message = f"{tool} has no model and takes whole sentences from the text instead: {error.message}"
        if self._emit is not None:
            self._emit("notice", message=message, degraded=True, tool=tool)
            return
        line = strict_json.dumps({"event": "notice", "message": message, "degraded": True, "tool": tool})
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - stderr is events

    async def _fetch(self, manifest: Manifest, payload: Mapping[str, Any]) -> str:
        if self._http is not None and self._http.server(manifest):
            return _text(manifest, await self._http.call(manifest, {key: str(value) for key, value in payload.items()}))
        part = manifest.http
        if part is None or not part.fallback_tier or not self._models.configured:
            hint = "Set CODE_EVOLVER_NMT_URL to a LibreTranslate or EasyNMT server, or configure a model."
            own = (
                hint
                if manifest.name == "nmt_translator"
                else f"Give its base_url under tools: {manifest.name} in config.yaml."
            )
            raise ToolError(f"{manifest.name} has neither a server nor a model.", own, code="tool_unavailable")
        stand_in = Llm(part.fallback_tier, part.fallback_prompt, temperature=0.0, max_tokens=4000)
        return await self._ask(manifest, stand_in, payload)

    async def _run(self, manifest: Manifest, payload: Mapping[str, Any]) -> str:
        if self._processes is None:
            raise ToolError(
                f"{manifest.name} cannot be started from here.", "Start it by hand.", code="tool_unavailable"
            )
        return strict_json.dumps(await self._processes.call(manifest, payload))

    async def _node(self, manifest: Manifest, payload: Mapping[str, Any]) -> str:
        if self._run_node is None:
            raise ToolError(f"{manifest.name} cannot be run from here.", "Start it by hand.", code="tool_unavailable")
        document = await self._run_node(manifest.name, payload)
        result = document.get("result", document)
        return result if isinstance(result, str) else strict_json.dumps(result)


def _object(manifest: Manifest, prompt: str) -> dict[str, Any]:
    if not prompt.strip():
        return {}
    hint = f"It takes {', '.join(manifest.input_schema.get('properties', {})) or 'nothing'}."
    try:
        found = strict_json.loads(prompt)
    except InputError as error:
        raise ToolError(f"{manifest.name} takes a JSON object, not plain text.", hint, code="bad_input") from error
    if not isinstance(found, dict):
        raise ToolError(f"{manifest.name} takes a JSON object, not {strict_json.kind(found)}.", hint, code="bad_input")
    return found


def _tier(manifest: Manifest, part: Llm, payload: Mapping[str, Any]) -> str:
    """Give the tier that is asked for where the manifest offers the choice, else the manifest's own."""
    offered = manifest.input_schema.get("properties", {}).get("tier", {}).get("enum", ())
    return str(payload["tier"]) if payload.get("tier") in TIERS and payload["tier"] in offered else part.tier


def _text(manifest: Manifest, text: str) -> str:
    if not text.strip():
        raise ToolError(f"{manifest.name} gave an empty answer.", "Try again, or another model.")
    return text.strip()
