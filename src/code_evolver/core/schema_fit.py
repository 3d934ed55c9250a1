"""Holds a value against a JSON Schema and says what does not fit, without showing the value (it may be secret)."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

import fastjsonschema

from code_evolver.core.errors import InputError
from code_evolver.core.strict_json import canonical, loads, show

Place = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Find the name that was probably meant."""
    found = difflib.get_close_matches(name[:100], list(names), n=1, cutoff=0.5)
    return found[0] if found else None


@lru_cache(maxsize=256)
def compiled(schema: str) -> Callable[[Any], Any]:
    """Compile a schema that stands as canonical JSON; formats are not checked, defaults not filled in."""
    check: Callable[[Any], Any] = fastjsonschema.compile(loads(schema), use_default=False, use_formats=False)
    return check


_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_ANY_VALUE = frozenset({"description", "title", "default", "examples", "secret", "format"})
"""Formats are not checked, see below."""
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


def plainly_valid(schema: Any) -> bool:
    """Say whether a schema uses the commonest keywords only, and these as they are meant: it will compile.

    False says nothing. A compilation costs 2 to 5 ms, and every start reads a dozen manifests with two schemas each.
    """
    return isinstance(schema, dict) and all(_plain_keyword(key, value) for key, value in schema.items())


def _plain_keyword(key: str, value: Any) -> bool:
    if key in _ANY_VALUE:
        return True
    if key == "pattern":
        return _compiles(value)
    if key == "type":
        return bool(value) and _TYPES.issuperset([value] if isinstance(value, str) else value)
    if key == "properties":
        return isinstance(value, dict) and all(map(plainly_valid, value.values()))
    if key == "items":
        return plainly_valid(value)
    if key in ("required", "enum"):
        return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
    if key == "anyOf":
        return isinstance(value, list) and bool(value) and all(map(plainly_valid, value))
    if key == "additionalProperties":
        return isinstance(value, bool) or plainly_valid(value)
    return key in _COUNTS and type(value) in (int, float)


def _compiles(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True


def fit(schema: Mapping[str, Any], payload: Any, what: str, known: Collection[str]) -> None:
    """Raise InputError, beginning with `what`, where the payload does not fit; `known` are the keys it may have."""
    unknown = next((str(key) for key in payload if key not in known), "") if isinstance(payload, Mapping) else ""
    if unknown and schema.get("additionalProperties") is False:
        raise InputError(
            f"{what} has an unknown key {show(unknown, 60)}.", did_you_mean(unknown, known) or "See its manifest."
        )
    try:
        compiled(canonical(schema))(payload)
    except fastjsonschema.JsonSchemaValueException as error:
        place, said = said_of(error)
        hint = "" if error.rule != "additionalProperties" else did_you_mean(_odd_key(error), known)
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).lstrip(".")
        raise InputError(f"{what}{' at ' + where if where else ''} {said}", hint or "See its manifest.") from None


def did_you_mean(odd: str, known: Iterable[str]) -> str:
    """Give the hint that names the nearest known key; "" where none is near."""
    meant = nearest(odd, known)
    return f"Did you mean {meant}?" if meant else ""


def _odd_key(error: fastjsonschema.JsonSchemaValueException) -> str:
    """Find the first key that the schema does not know."""
    known = (error.definition or {}).get("properties", {})
    return next((str(key) for key in error.value if key not in known), "") if isinstance(error.value, dict) else ""


def said_of(error: fastjsonschema.JsonSchemaValueException) -> tuple[Place, str]:
    """Give where it is wrong, and the rest of the sentence, without values (they may be secret)."""
    place = tuple(int(key) if key.isdigit() else key for key in error.path[1:])
    rest = str(error.message).removeprefix(str(error.name)).strip()
    if error.rule == "additionalProperties":
        rest = f"has an unknown key {show(_odd_key(error), 60)}"
    return place, f"{rest[:300]}."
