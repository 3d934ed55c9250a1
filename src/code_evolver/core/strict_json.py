"""JSON as we accept it from outside: one document, no duplicate keys, no NaN, no lone surrogates, bounded depth."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from code_evolver.core.errors import InputError

type_name = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number",
             float: "a number", type(None): "null"}  # fmt: skip
MAX_DEPTH = 100
LARGE = 64 * 1024
"""Characters (bytes) from which on a text is read beside the event loop: it may hold millions of elements."""


def encoder(
    *, ascii_only: bool, nan: bool, sort: bool = False, default: Callable[[Any], Any] | None = None
) -> Callable[[Any], str]:
    """Make a function that writes compact JSON; what it is given must be no circle.

    Made once for many values: json.dumps, and JSONEncoder.encode too, build the encoder in C anew at each call, a
    third of what a small object costs. Where there is none in C, JSONEncoder does it.
    """
    plain = json.JSONEncoder(ensure_ascii=ascii_only, check_circular=False, allow_nan=nan, sort_keys=sort,
                             separators=(",", ":"), default=default)  # fmt: skip
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    write = make(
        markers=None, default=plain.default, indent=None, key_separator=":", item_separator=",", sort_keys=sort,
        encoder=json.encoder.encode_basestring_ascii if ascii_only else json.encoder.encode_basestring,
        skipkeys=False, allow_nan=nan,
    )  # fmt: skip
    return lambda value: "".join(write(value, 0))


_compact = encoder(ascii_only=False, nan=False)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class BadJson(InputError):
    """Text that is not one strict JSON document."""

    code = "bad_json"


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"JSON has no {name}.", "Send a number or null.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadJson(f"The key {show(twice)} stands twice in one object.", "Give each key once.")
    return found


def depth_over(text: str, limit: int) -> bool:
    """Say whether brackets outside of strings nest deeper than `limit`, without parsing (linear, no recursion)."""
    depth = 0
    for bracket in re.finditer(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', text, re.DOTALL):
        char = bracket.group()[0]
        if char in "[{":
            depth += 1
            if depth > limit:
                return True
        elif char in "]}":
            depth -= 1
    return False


def loads(text: str | bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Read one strict JSON document.

    Raises BadJson with a sentence that says what is wrong and where; never RecursionError, ValueError or MemoryError.
    """
    try:
        words = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise BadJson(f"Byte {error.start} is not UTF-8.", "Send UTF-8, or UTF-16 with a byte-order mark.") from error
    words = words.removeprefix("\ufeff")
    if depth_over(words, max_depth):
        raise BadJson(f"The JSON nests deeper than {max_depth} levels.", "Send flatter data.")
    try:
        value = json.loads(words, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise BadJson(f"Not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
                      "Send exactly one JSON document.") from error  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise BadJson(f"Not valid JSON: {str(error)[:200]}.", "Send exactly one JSON document.") from error
    if ("\\u" in words or _SURROGATE.search(words)) and has_surrogate(value):
        raise BadJson("The JSON holds half of a surrogate pair.", "Send whole Unicode characters.")
    return value


def _as_it_is(found: dict[str, Any]) -> dict[str, Any]:
    return found


def _whole_number(digits: str) -> int:
    return int(digits)


def _number(digits: str) -> float:
    return float(digits)


in_turns = json.JSONDecoder(object_hook=_as_it_is, parse_int=_whole_number, parse_float=_number)
"""Reads as json.loads does, for long texts: functions of ours, called in between, let other threads have the interpreter."""


def has_surrogate(value: Any) -> bool:
    """Say whether any string in `value` cannot be written as UTF-8."""
    if isinstance(value, str):
        return bool(_SURROGATE.search(value))
    if isinstance(value, Mapping):
        return any(has_surrogate(key) or has_surrogate(item) for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return any(has_surrogate(item) for item in value)
    return False


def dumps(value: Any) -> str:
    """Write one line of JSON (no NaN, non-ASCII kept)."""
    return _compact(value)


def dumps_foreign(value: Any) -> str:
    """Write one line of strict JSON of a value that came from outside: numbers that JSON has not (1e999, NaN) become null."""
    try:
        return dumps(value)
    except ValueError:
        return dumps(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def canonical(value: Any) -> str:
    """Write JSON so that equal values give equal text: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def show(text: object, limit: int = 80) -> str:
    """Quote foreign text for a message: control characters escaped, cut at `limit` characters."""
    words = str(text)
    cut = words if len(words) <= limit else words[: limit - 1] + "…"
    return "'" + escape(cut) + "'"


def escape(text: str) -> str:
    """Make control, bidirectional and zero-width characters visible, so that no terminal obeys them."""
    clean = _SURROGATE.sub(lambda half: f"\\u{ord(half.group()):04x}", text)
    return _CONTROL.sub(lambda char: f"\\u{ord(char.group()):04x}", clean)


def kind(value: object) -> str:
    """Name the JSON type of `value` for a sentence ("a list")."""
    return type_name.get(type(value), "something odd")
