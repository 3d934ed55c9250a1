"""What is kept of servers from one run to the next: what they do with a schema and with parameters. No key, no text.

Context lengths and model lists are not kept: they change with every start of a server, and cost one quick request.
"""

import json
from collections.abc import Mapping
from typing import Any, get_args

from code_evolver.core.dialects.wire import Capability, SchemaLevel, at
from code_evolver.core.errors import InputError
from code_evolver.core.llm_config import LlmConfig, ModelRef
from code_evolver.core.model_desk import Desk
from code_evolver.core.strict_json import loads

KEPT_SECONDS = 7 * 86_400.0


def _place(ref: ModelRef, config: LlmConfig) -> str:
    backend = config.backends[ref.backend]
    return f"{backend.type} {backend.base_url} {ref.model}"


def write_memory(desk: Desk, now: float) -> str:
    """Give the file's text."""
    rows = {
        _place(ref, desk.config): {
            "schema": known.schema,
            "cap_key": known.cap_key,
            "temperature": known.temperature,
            "at": now,
        }
        for ref, known in desk.capabilities.items()
        if known.probed
    }
    return json.dumps({"version": 1, "models": rows}, indent=1) + "\n"


def read_memory(text: str, config: LlmConfig, now: float) -> Mapping[ModelRef, Capability]:
    """Read it back for the models of `config`; what is damaged, foreign or over a week old is not known."""
    try:
        rows: Any = at(loads(text), "models") if text else {}
    except InputError:
        return {}
    found = {}
    for ref in {ref for refs in config.tiers.values() for ref in refs}:
        row = at(rows, _place(ref, config))
        moment = at(row, "at")
        if not isinstance(moment, int | float) or not 0 <= now - moment < KEPT_SECONDS:
            continue
        if at(row, "schema") in get_args(SchemaLevel) and at(row, "cap_key") in {"max_tokens", "max_completion_tokens"}:
            found[ref] = Capability(
                schema=row["schema"],
                probed=True,
                context=config.backends[ref.backend].context,
                cap_key=row["cap_key"],
                temperature=at(row, "temperature") is not False,
            )
    return found
