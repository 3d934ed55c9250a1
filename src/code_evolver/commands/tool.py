"""`code-evolver tool NAME`: run one tool. JSON (its input) or text (its prompt) on stdin, one JSON document on stdout."""

import sys
from collections.abc import Sequence
from typing import Any

from code_evolver.assembly import manifests_of, models_of, toolbox
from code_evolver.cli import parser
from code_evolver.commands.output import workspace_of
from code_evolver.configuration import load
from code_evolver.core.errors import InputError
from code_evolver.core.settings import from_flags
from code_evolver.core.strict_json import loads
from code_evolver.edges import stdio
from code_evolver.host import node_tool, own_doors


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    made = parser("tool", "Run one tool: JSON or text on stdin, one JSON document on stdout.")
    made.add_argument("name", nargs="?", help="the tool; without one they are listed")
    parsed = made.parse_args(list(argv))
    if parsed.name is None:
        manifests = manifests_of(workspace_of(parsed.workspace))
        sys.stdout.write("".join(f"{name:<28} {one.description}\n" for name, one in sorted(manifests.items())))
        return 0
    return stdio.serve_async(lambda text: _run(parsed, text), read=_read)


def _read(usage: str) -> str:
    text = stdio.as_text(stdio.read_bytes(usage))
    if not text.strip():
        raise InputError("The input is empty.", "Pipe a JSON object or a text into it.")
    return text


async def _run(parsed: Any, text: str) -> dict[str, Any]:
    resolved = load(from_flags({"workspace": parsed.workspace}))
    manifests = manifests_of(workspace_of(parsed.workspace))
    prompt, arguments = _split(text, parsed.name, manifests)
    models = await models_of(resolved, lambda _name, **_fields: None)
    try:
        run_node = node_tool(workspace_of(parsed.workspace).root, own_doors())
        result = await toolbox(resolved, manifests, models, run_node=run_node).call(parsed.name, prompt, arguments)
    finally:
        await models.close()
    return {"tool": parsed.name, "result": result}


def _split(text: str, name: str, manifests: Any) -> tuple[str, dict[str, Any]]:
    """Give prompt and arguments: of a JSON object, or of a text as it stands."""
    if not text.lstrip().startswith("{"):
        return text.strip(), {}
    given = loads(text)
    takes_prompt = name not in manifests or "prompt" in manifests[name].input_schema.get("properties", {})
    if not takes_prompt:
        return text, {}
    prompt = given.pop("prompt", "")
    return str(prompt), given
