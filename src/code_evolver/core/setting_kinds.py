"""What a setting's value may look like: one `Kind` a form, with its JSON Schema and its reader.

A reader takes a JSON value, or text where it came from a flag, the environment or config.yaml, gives the value that
`Settings` holds, or raises `Wrong` with what is wrong (the caller adds the setting's name and where it came from).
"""

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from code_evolver.core import strict_json
from code_evolver.core.english.durations import parse_duration
from code_evolver.core.errors import InputError
from code_evolver.core.strict_json import kind, show

YEAR = 365 * 24 * 3600
"""The longest duration that is taken for meant, in seconds."""
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_OWN_HEADERS = frozenset({"host", "connection", "upgrade", "content-length", "transfer-encoding"})
"""With a second one of these a server refuses the request."""
_TOKEN_KEY = re.compile(r"(?:^|[&?])(access_token|token|api_key|sig)=", re.IGNORECASE)


class Wrong(ValueError):
    """A value that a setting cannot have: `str(wrong)` continues the sentence "<setting> "."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class HubCall:
    """A hub method to call, and its arguments."""

    method: str
    arguments: tuple[Any, ...] = ()

    def filled(self, hub_name: str) -> tuple[Any, ...]:
        """Give the arguments with `{hub_name}` replaced in those that are text."""
        return tuple(one.replace("{hub_name}", hub_name) if isinstance(one, str) else one for one in self.arguments)

    def as_json(self) -> dict[str, Any]:
        """Give it as the JSON settings have it."""
        return {"method": self.method, "arguments": list(self.arguments)}


@dataclass(frozen=True, slots=True)
class Kind:
    """A form of value."""

    schema: Mapping[str, Any]
    read: Callable[[Any, bool], Any]
    """read(value, as_text): `as_text` where the value may stand as text (flag, environment, config.yaml)."""
    metavar: str
    """How a flag's help shows the value; "" for a switch."""
    nullable: bool = field(default=False)


def _must_be(what: str, value: object) -> Wrong:
    shown = f" ({show(value, 40)})" if isinstance(value, str | int | float) else ""
    return Wrong(f"must be {what}, but is {kind(value)}{shown}.")


def _text_of(value: object, most: int) -> str:
    if not isinstance(value, str):
        raise _must_be("text", value)
    if not value.strip():
        raise Wrong("must not be empty.", "Leave the setting out to have its default.")
    if len(value) > most:
        raise Wrong(f"has {len(value)} characters, more than {most}.")
    if strict_json.escape(value) != value or "\n" in value or "\t" in value:
        raise Wrong(f"holds a control character: {show(value)}.")
    return value


def text(most: int = 4096) -> Kind:
    """One line of text."""
    return Kind({"type": "string", "minLength": 1, "maxLength": most}, lambda value, _: _text_of(value, most), "TEXT")


def path() -> Kind:
    """A file or folder of this machine."""
    return Kind(text().schema, text().read, "PATH")


def choice(*names: str) -> Kind:
    """One of a few words."""

    def read(value: Any, as_text: bool) -> str:
        word = value.strip().lower() if as_text and isinstance(value, str) else value
        if not isinstance(word, str) or word not in names:
            raise Wrong(f"must be one of {', '.join(names)}, but is {show(value, 40)}.")
        return word

    return Kind({"type": "string", "enum": list(names)}, read, "|".join(names))


def _read_switch(value: Any, as_text: bool) -> bool:
    if as_text and isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if not isinstance(value, bool):
        raise _must_be("true or false", value)
    return value


SWITCH = Kind({"type": "boolean"}, _read_switch, "")


def _within(number: float, least: float, most: float) -> None:
    if number < least:
        raise Wrong(f"must be at least {least:,g}, but is {number:g}.")
    if number > most:
        raise Wrong(f"must be at most {most:,.0f}, but is {number:g}.")


def integer(least: int, most: int = 2**31 - 1) -> Kind:
    """A whole number."""

    def read(value: Any, as_text: bool) -> int:
        number = value
        if as_text and isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9][0-9_]{0,18}\s*", value):
            number = int(value)
        if isinstance(number, float) and number.is_integer() and abs(number) < 2**53:
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int):
            raise _must_be("a whole number", value)
        _within(number, least, most)
        return number

    return Kind({"type": "integer", "minimum": least, "maximum": most}, read, "N")


def _seconds_in(words: str) -> float:
    """Read `90`, `90s`, `1h30m`, "half an hour"."""
    if re.fullmatch(r"\s*[+-]?[0-9]{1,18}(?:\.[0-9]{1,9})?\s*", words):
        return float(words)
    try:
        return parse_duration(words)
    except InputError:
        raise Wrong(
            f"is no length of time that can be taken: {show(words, 40)}.", "Write 90, 90s, 5m or 1.5h."
        ) from None


def seconds(*, zero: bool = False) -> Kind:
    """A length of time in seconds, at most a year; as text also with a unit."""
    schema = {"type": "number", "minimum": 0} if zero else {"type": "number", "exclusiveMinimum": 0}

    def read(value: Any, as_text: bool) -> float:
        number = _seconds_in(value) if as_text and isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise _must_be("a number of seconds", value)
        if not -1e300 < number < 1e300 or not math.isfinite(number):
            raise Wrong("must be a finite number of seconds.")
        if number < 0 or (number == 0 and not zero):
            raise Wrong(f"must be {'zero or more' if zero else 'more than zero'}, but is {number:g}.")
        if number > YEAR:
            raise Wrong(f"is over a year: {number:g} seconds.", "Leave it out to go on until stopped.")
        return float(number)

    return Kind({**schema, "maximum": YEAR}, read, "TIME")


def _port_of(parts: SplitResult) -> None:
    try:
        port = parts.port
    except ValueError:
        raise Wrong("has a port that is no number from 1 to 65535.") from None
    if port == 0:
        raise Wrong("has port 0; a port is a number from 1 to 65535.")


def _read_url(value: Any, _: bool) -> str:
    address = _text_of(value, 4096).strip()
    if " " in address:
        raise Wrong(f"holds a space: {show(address)}.", "Write a space in an address as %20.")
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise Wrong("is no address that can be read.", "Write it like http://localhost:5000/taskhub.") from None
    if parts.username is not None or parts.password is not None:
        raise Wrong("holds a user name or password.", "Take it out of the address and give access_token_file instead.")
    if parts.scheme.lower() not in {"http", "https", "ws", "wss"} or not parts.netloc:
        hint = f"Write http://{address}, or https://…" if "://" not in address else "Use http, https, ws or wss."
        raise Wrong(f"must begin with http://, https://, ws:// or wss://, but is {show(address)}.", hint)
    if not host:
        raise Wrong(f"names no host: {show(address)}.", "Write it like http://localhost:5000/taskhub.")
    _port_of(parts)
    if _TOKEN_KEY.search(parts.query):
        raise Wrong("holds a token in its query.", "Take it out of the address and give access_token_file instead.")
    if parts.fragment:
        raise Wrong(f"ends with a fragment: {show('#' + parts.fragment, 40)}.", "Leave out the part from #.")
    return address


URL = Kind({"type": "string", "format": "uri", "pattern": "^[A-Za-z]+://", "maxLength": 4096}, _read_url, "URL")


def _json_text(value: Any, as_text: bool) -> Any:
    """Read a list or object that stands as JSON text in a flag or the environment."""
    if not (as_text and isinstance(value, str)):
        return value
    if value.lstrip()[:1] not in {"[", "{"}:
        return [name.strip() for name in value.split(",") if name.strip()]
    try:
        return strict_json.loads(value)
    except InputError as error:
        raise Wrong(f"is no JSON: {error.message}", error.hint) from None


def _read_names(value: Any, as_text: bool) -> tuple[str, ...]:
    found = _json_text(value, as_text)
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise _must_be("a list of names", found)
    if len(found) > 100:
        raise Wrong(f"has {len(found)} names, more than 100.")
    return tuple(dict.fromkeys(_text_of(name, 256) for name in found))


NAMES = Kind(
    {"type": "array", "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 256}},
    _read_names,
    "NAME,NAME",
)


def _read_call(value: Any) -> HubCall:
    if isinstance(value, str):
        return HubCall(_text_of(value, 256))
    if not isinstance(value, Mapping):
        raise Wrong(f'must hold objects like {{"method": "Name", "arguments": []}}, but holds {kind(value)}.')
    odd = [str(key) for key in value if key not in {"method", "arguments"}]
    if odd:
        raise Wrong(f"has an unknown key {show(odd[0], 40)} beside method and arguments.")
    arguments = value.get("arguments", [])
    if "method" not in value:
        raise Wrong("has a call without a method.")
    if not isinstance(arguments, Sequence) or isinstance(arguments, str):
        raise _must_be("given a list as arguments", arguments)
    try:
        strict_json.dumps(arguments)
    except (ValueError, TypeError, RecursionError):
        raise Wrong("has arguments that JSON cannot hold.", "A number such as 1e999 is none in JSON.") from None
    return HubCall(_text_of(value["method"], 256), tuple(arguments))


def _read_calls(value: Any, as_text: bool) -> tuple[HubCall, ...]:
    found = _json_text(value, as_text)
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise _must_be("a list of hub calls", found)
    if len(found) > 100:
        raise Wrong(f"has {len(found)} calls, more than 100.")
    return tuple(_read_call(one) for one in found)


CALLS = Kind(
    {
        "type": "array",
        "maxItems": 100,
        "items": {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": 256},
                {
                    "type": "object",
                    "required": ["method"],
                    "additionalProperties": False,
                    "properties": {
                        "method": {"type": "string", "minLength": 1, "maxLength": 256},
                        "arguments": {"type": "array"},
                    },
                },
            ]
        },
    },
    _read_calls,
    "JSON",
)


def _read_headers(value: Any, as_text: bool) -> Mapping[str, str]:
    found = _json_text(value, as_text)
    if not isinstance(found, Mapping):
        raise _must_be("an object of header names and texts", found)
    for name, content in found.items():
        if not isinstance(name, str) or not _HEADER.match(name):
            raise Wrong(f"has a name that is no header's name: {show(name, 40)}.")
        if name.lower() in _OWN_HEADERS or name.lower().startswith("sec-websocket-"):
            raise Wrong(
                f"has {show(name, 40)}, which every connection has already.", "Leave it out: hub_url decides it."
            )
        if not isinstance(content, str) or not (content.isprintable() and content.isascii()):
            raise Wrong(f"has a value for {show(name, 40)} that is no single line of ASCII text.")
        if content != content.strip():
            raise Wrong(f"has a value for {show(name, 40)} with spaces around it.")
    return dict(found)


HEADERS = Kind({"type": "object", "additionalProperties": {"type": "string"}}, _read_headers, "JSON")


def _read_command(value: Any, _: bool) -> tuple[str, ...]:
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Wrong(f"cannot be split into words: {error}.") from None
    if not isinstance(words, Sequence) or not words or not all(isinstance(word, str) for word in words):
        raise _must_be("a command, as text or as a list of words", value)
    return tuple(_text_of(word, 4096) if number == 0 else word for number, word in enumerate(words))


COMMAND = Kind(
    {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]},
    _read_command,
    "COMMAND",
)


def as_json(value: Any) -> Any:
    """Give a setting's value as JSON has it."""
    if isinstance(value, HubCall):
        return value.as_json()
    if isinstance(value, tuple):
        return [as_json(one) for one in value]
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return json.loads(json.dumps(value))
