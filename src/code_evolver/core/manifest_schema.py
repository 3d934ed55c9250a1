"""The form of a tool manifest: one JSON Schema, from which checks and hints come."""

from typing import Any, Final

_TEXT: Final = {"type": "string", "minLength": 1}
_SECONDS: Final = {"type": "number", "exclusiveMinimum": 0, "maximum": 31536000}
_SCHEMA: Final = {"type": "object", "required": ["type"], "properties": {"type": {"enum": ["object"]}}}


def _part(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_SHAPE: Final = {
    "method": {"enum": ["GET", "POST"]},
    "path": {"type": "string", "pattern": "^/"},
    "request": {"type": "object"},
    "response": _TEXT,
    "omit_values": {"type": "array", "items": {"type": "string"}},
}
"""How one HTTP service is asked: request body with {placeholders}, dotted path of the text in the answer."""

MANIFEST: Final[dict[str, Any]] = _part(
    ["name", "type", "description", "input_schema", "output_schema"],
    name={"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"},
    type={"enum": ["executable", "llm", "http", "workflow"]},
    description={"type": "string", "minLength": 1, "maxLength": 1000},
    input_schema=_SCHEMA,
    output_schema=_SCHEMA,
    examples={
        "type": "array",
        "maxItems": 50,
        "items": _part(
            ["input"],
            input={"type": "object"},
            output={"type": "object"},
            needs={"enum": ["nothing", "hub", "model", "server", "node"]},
        ),
    },
    tags={"type": "array", "maxItems": 20, "items": {"type": "string", "minLength": 1, "maxLength": 64}},
    executable=_part(
        ["command", "args"],
        command=_TEXT,
        args={"type": "array", "items": {"type": "string"}},
        timeout_seconds=_SECONDS,
    ),
    llm=_part(
        ["tier", "prompt_template"],
        tier={"enum": ["fast", "general", "strong"]},
        temperature={"type": "number", "minimum": 0, "maximum": 2},
        max_tokens={"type": "integer", "minimum": 1, "maximum": 1000000},
        system_prompt=_TEXT,
        prompt_template=_TEXT,
        fallback={"enum": ["none", "extractive"]},
    ),
    http=_part(
        ["method", "path", "request", "response"],
        base_url={"type": "string", "pattern": "^https?://"},
        timeout_seconds=_SECONDS,
        fallback_tier={"enum": ["fast", "general", "strong"]},
        fallback_prompt=_TEXT,
        alternatives={
            "type": "array",
            "maxItems": 5,
            "items": _part(["method", "path", "request", "response"], **_SHAPE),
        },
        **_SHAPE,
    ),
)
"""Beside this, a manifest has the part that its type names (executable, llm, http), and no other."""
PARTS: Final = ("executable", "llm", "http")


def known_keys(at: tuple[str | int, ...]) -> list[str]:
    """Give the keys that the object at a place of a manifest may have; none where any key is allowed."""
    schema: Any = MANIFEST
    for key in at:
        schema = schema.get("items", {}) if isinstance(key, int) else schema.get("properties", {}).get(key, {})
    return list(schema.get("properties", {})) if schema.get("additionalProperties") is False else []
