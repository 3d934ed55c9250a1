"""A sentence or two about a node by a model: shown as its words, never taken for a fact."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from code_evolver.core import prompt
from code_evolver.core.document import output_keys
from code_evolver.core.errors import CodeEvolverError
from code_evolver.core.gate import tools_of
from code_evolver.core.manifest import Manifest
from code_evolver.ports import Models
from code_evolver.prompting import DOCUMENTER, voice

PATIENCE_SECONDS = 60.0
LONGEST = 700
"""Characters: three sentences."""


@dataclass(frozen=True, slots=True)
class Prose:
    """What a model said. Both empty: nobody was asked, or nothing that could be used came."""

    text: str = ""
    model: str = ""


async def prose_of(models: Models, manifests: Mapping[str, Manifest], code: bytes, record: Mapping[str, Any]) -> Prose:
    """Ask for a description of a program. A README without prose is whole as well, so nothing is raised for want of a model."""
    if not models.configured:
        return Prose()
    values = {"facts": _facts(code, record), "code": code.decode("utf-8", "replace")}
    try:
        ask = prompt.tool_ask(voice(manifests, DOCUMENTER), "document", values)
        async with asyncio.timeout(PATIENCE_SECONDS):
            reply = await models.ask(ask)
    except (CodeEvolverError, TimeoutError):
        return Prose()
    text = " ".join(prompt.clean(reply.text, LONGEST).split())
    return Prose(text, reply.model) if _usable(text, manifests, code) else Prose()


def _facts(code: bytes, record: Mapping[str, Any]) -> str:
    return "\n".join((
        f"Type: {record.get('task_type', '')}",
        f"Tools that it calls: {', '.join(tools_of(code)) or 'none'}",
        f"Keys of its output: {', '.join(output_keys(code)) or 'result, task_id, task_type'}",
    ))  # fmt: skip


def _usable(text: str, manifests: Mapping[str, Manifest], code: bytes) -> bool:
    """Take no prose that is empty, no sentence, or names a tool that the program does not call."""
    others = manifests.keys() - set(tools_of(code))
    return bool(text) and "```" not in text and not any(name in text for name in others)
