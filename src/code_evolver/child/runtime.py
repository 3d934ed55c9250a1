"""The functions that a workflow imports from `node_runtime`, over any transport. Standard library only, no imports of ours.

The sealed child hands in the broker channel as transport; the top-level `node_runtime` hands in the real toolbox.
"""

from __future__ import annotations

import json
import time

TYPE_CHECKING = False  # as typing says it; its import would cost every child 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Transport = Callable[[list[dict[str, Any]]], Sequence[Mapping[str, Any]]]

NEVER_AGAIN = frozenset({"unknown_tool", "tool_not_allowed", "bad_input"})
"""Error codes that another attempt cannot mend."""
MOST_ATTEMPTS = 10


class ToolError(Exception):
    """A tool that failed: `code` ("tool_failed", "unknown_tool", …) and `message`."""

    def __init__(self, message: str = "", code: str = "tool_failed") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def _as_call(tool: Any, prompt: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give {"tool", "prompt", "arguments"}; raises ToolError (bad_input) where it could not be sent."""
    if not isinstance(tool, str) or not tool:
        raise ToolError(f"A tool's name is text, not {type(tool).__name__}.", "bad_input")
    if not isinstance(prompt, str):
        raise ToolError(f"The prompt for {tool} is text, not {type(prompt).__name__}.", "bad_input")
    call = {"tool": tool, "prompt": prompt, "arguments": dict(arguments)}
    try:
        json.dumps(call, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"The arguments for {tool} cannot be written as JSON: {error}.", "bad_input") from error
    return call


def _from_entry(entry: Any) -> dict[str, Any]:
    """Read one entry of call_tools_parallel: (tool, prompt), (tool, prompt, arguments) or a dict."""
    if isinstance(entry, dict):
        rest = {
            key: value for key, value in entry.items() if key not in {"tool", "name", "prompt", "arguments", "kwargs"}
        }
        extra = entry.get("arguments") or entry.get("kwargs") or {}
        return _as_call(entry.get("tool") or entry.get("name"), entry.get("prompt", ""), {**rest, **extra})
    if isinstance(entry, (tuple, list)) and len(entry) in {2, 3}:
        return _as_call(entry[0], entry[1], entry[2] if len(entry) == 3 else {})
    raise ToolError("A parallel call is (tool, prompt), (tool, prompt, arguments) or a dict.", "bad_input")


def _text(answer: Mapping[str, Any]) -> str:
    """Give an answer's text, or raise its error."""
    if answer.get("error") or answer.get("code"):
        raise ToolError(str(answer.get("error") or "The tool failed."), str(answer.get("code") or "tool_failed"))
    return str(answer.get("text", ""))


class Runtime:
    """The API over one transport: `transport(calls) -> answers`, in order; {"text"} or {"error", "code"} each."""

    def __init__(
        self, transport: Transport, alternatives: Mapping[str, Sequence[str]] | None = None, pause: float = 0.5
    ) -> None:
        self._transport = transport
        self._alternatives = alternatives or {}
        """tag → names of the tools that carry it and may be called."""
        self._pause = pause

    def call_tool(self, name: str, prompt: str = "", /, **arguments: Any) -> str:
        """Call one tool and give its text. Raises ToolError."""
        return _text(self._transport([_as_call(name, prompt, arguments)])[0])

    def call_tools_parallel(self, calls: Iterable[Any], /) -> list[str | ToolError]:
        """Call several at once; give every result in order, a ToolError object in the place of one that failed."""
        wanted = [_from_entry(entry) for entry in calls]
        return [self._settled(answer) for answer in (self._transport(wanted) if wanted else [])]

    @staticmethod
    def _settled(answer: Mapping[str, Any]) -> str | ToolError:
        try:
            return _text(answer)
        except ToolError as error:
            return error

    def call_tool_resilient(
        self, tool: str, prompt: str = "", /, *, attempts: int = 3, tags: str | Sequence[str] = (), **arguments: Any
    ) -> str:
        """Call a tool up to `attempts` times with growing pauses, then each tool that carries one of `tags`."""
        tags = (tags,) if isinstance(tags, str) else tags
        others = [name for tag in tags for name in self._alternatives.get(tag, ())]
        failure = ToolError(f"The tool {tool} was not tried.", "bad_input")
        for name in dict.fromkeys([tool, *others]):
            for attempt in range(max(1, min(int(attempts), MOST_ATTEMPTS))):
                if attempt:
                    time.sleep(self._pause * 2 ** (attempt - 1))
                try:
                    return self.call_tool(name, prompt, **arguments)
                except ToolError as error:
                    failure = error
                if failure.code in NEVER_AGAIN:
                    break
        raise failure

    def call_llm(self, prompt: str, /, tier: str = "general") -> str:
        """Ask a model of `tier` (fast, general, strong); travels as the tool named call_llm."""
        return self.call_tool("call_llm", prompt, tier=tier)

    def tool_chain(self, text: str = "") -> Chain:
        """Start a chain of tools (the name ToolChain of `node_runtime`)."""
        return Chain(self, text)

    def names(self) -> dict[str, Any]:
        """Give what `node_runtime` exports."""
        return {
            "ToolChain": self.tool_chain,
            "ToolError": ToolError,
            "call_llm": self.call_llm,
            "call_tool": self.call_tool,
            "call_tool_resilient": self.call_tool_resilient,
            "call_tools_parallel": self.call_tools_parallel,
        }


class Chain:
    """Tools one after the other: each `then` may use the result so far as {result}."""

    def __init__(self, runtime: Runtime, text: str = "") -> None:
        self._runtime = runtime
        self._result = text

    def call(self, tool: str, prompt: str, /, **arguments: Any) -> Chain:
        """Call a tool with a prompt of its own."""
        self._result = self._runtime.call_tool(tool, prompt, **arguments)
        return self

    def then(self, tool: str, template: str = "{result}", /, **arguments: Any) -> Chain:
        """Call a tool with the template, {result} replaced by the result so far."""
        return self.call(tool, template.replace("{result}", self._result), **arguments)

    def get(self) -> str:
        """Give the last result."""
        return self._result
