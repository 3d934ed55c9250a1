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


def plainly_valid(schema: Any) -> bool:
    """Say whether a schema uses the commonest keywords only, and these as they are meant: it will compile.

    False says nothing. A compilation costs 2 to 5 ms, and every start reads a dozen manifests with two schemas each.
    """
    return isinstance(schema, dict) and all(key in _PLAIN and _PLAIN[key](value) for key, value in schema.items())


def _compiles(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return False
    return True


def _list_of(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(good, value))


def _any_value(_: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_size(value: Any) -> bool:
    return type(value) is int


def _is_type(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return _list_of(_is_text)(names) and _TYPES.issuperset(names)


_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("description", "title", "default", "examples", "secret"), _any_value),
    "format": _any_value,  # not checked, see above
    "pattern": _compiles,
    "type": _is_type,
    "properties": lambda value: isinstance(value, dict) and all(map(plainly_valid, value.values())),
    "items": plainly_valid,
    "required": _list_of(_is_text),
    "enum": _list_of(_is_text),
    "anyOf": _list_of(plainly_valid),
    "additionalProperties": lambda value: isinstance(value, bool) or plainly_valid(value),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_size),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
}
"""Keyword → whether a value of it is as it is meant."""


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
