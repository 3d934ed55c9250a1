"""A model's answer about a request, held against the words: nothing in it that the words do not hold."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from code_evolver.core.english import durations
from code_evolver.core.english.reading import MAX_CHARACTERS, Reading, read
from code_evolver.core.english.tokens import Token, tokenize
from code_evolver.core.errors import InputError
from code_evolver.core.strict_json import kind, show

HINT = "Say it in other words, or give the settings as JSON."
_FIGURE = re.compile(r"[0-9]+(?:\.[0-9]+)?")


class BadAnswer(InputError):
    """The model's answer holds what the request does not say."""

    code = "not_understood"


def check_answer(request: str, answer: Mapping[str, Any]) -> dict[str, object]:
    """Give the settings of a model's answer, completed by what the rules read for sure.

    Raises InputError: an unknown key, a wrong type, a URL, host, name, file or duration that the request does not hold,
    a value other than the one that the words say for sure, or a request that is itself wrong.
    """
    reading = read(request)
    known = _Words(request[:MAX_CHARACTERS], reading)
    settings = dict(reading.settings)
    for key, value in answer.items():
        checker = _CHECKS.get(key) if isinstance(key, str) else None
        if checker is None:
            raise BadAnswer(f"The model answered the key {show(key)}, which it may not set.", HINT)
        settings[key] = checker(known, key, value)
        if key in reading.said and settings[key] != reading.settings[key]:
            raise BadAnswer(f"The model answered {show(value)} for {key}, but the words say {show(reading.settings[key])}.",
                            HINT)  # fmt: skip
    return settings


class _Words:
    """The whole words, names and files of a request."""

    def __init__(self, request: str, reading: Reading) -> None:
        tokens = tokenize(request)
        self.url = str(reading.settings["hub_url"])
        self.words = {token.text.lower() for token in tokens if token.kind in {"word", "quoted"}}
        self.files = {token.text.lower() for token in tokens if token.kind in {"file", "path", "quoted"}}
        self.seconds = {seconds for token in tokens for seconds in _possible_seconds(token)}
        self.seconds |= _spoken_seconds(tokens)


def _possible_seconds(token: Token) -> set[float]:
    figures = [float(figure) for figure in _FIGURE.findall(token.text[:60])] if token.kind in {"number", "word"} else []
    return {figure * unit for figure in figures for unit in (1.0, 60.0, 3600.0, 86400.0)}


def _spoken_seconds(tokens: list[Token]) -> set[float]:
    words = [piece for token in tokens if token.kind in {"word", "number"} for piece in token.text.lower().split("-")]
    found = (durations.match(words, at) for at in range(len(words)))
    return {one[0] for one in found if one}


def _wrong(key: str, what: str, value: object) -> BadAnswer:
    return BadAnswer(f"The model answered {kind(value)} for {key}, which must be {what}.", HINT)


def _not_said(key: str, value: object) -> BadAnswer:
    return BadAnswer(f"The model answered {show(value)} for {key}, which the request does not say.", HINT)


def _url(known: _Words, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(key, "text", value)
    if value.lower().rstrip("/") != known.url.lower().rstrip("/"):
        raise _not_said(key, value)
    return known.url


def _name(known: _Words, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(key, "text", value)
    if value.lower() not in known.words and not (key == "hub_name" and value == "TaskHub"):
        raise _not_said(key, value)
    return value


def _file(known: _Words, key: str, value: Any) -> str | None:
    if value is None and key == "output_file":
        return None
    if not isinstance(value, str):
        raise _wrong(key, "text or null" if key == "output_file" else "text", value)
    if value.lower() not in known.files:
        raise _not_said(key, value)
    if key == "output_file" and not value.lower().endswith((".json", ".jsonl")):
        raise BadAnswer(f"The model answered the file {show(value)}, which is neither .json nor .jsonl.", HINT)
    return value


def _duration(known: _Words, key: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(key, "a number of seconds or null", value)
    seconds = durations.in_range(float(value) if abs(value) < 1e300 else float("inf"), str(value)[:40])
    if not any(abs(seconds - said) <= 1e-6 * said for said in known.seconds):
        raise _not_said(key, value)
    return seconds


def _switch(_: _Words, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", value)
    return value


def _names(known: _Words, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 20:
        raise _wrong(key, "a list of at most 20 names", value)
    return [_name(known, key, one) for one in value]


def _calls(known: _Words, key: str, value: Any) -> list[dict[str, object]]:
    if not isinstance(value, list) or len(value) > 20:
        raise _wrong(key, "a list of at most 20 calls", value)
    return [_call(known, key, one) for one in value]


def _call(known: _Words, key: str, value: Any) -> dict[str, object]:
    if not isinstance(value, Mapping) or set(value) - {"method", "arguments"} or "method" not in value:
        raise _wrong(key, "a list of {method, arguments}", value)
    arguments = value.get("arguments", [])
    if not isinstance(arguments, list) or len(arguments) > 20:
        raise _wrong(key, "given a list of arguments", arguments)
    said = [one if one == "{hub_name}" else _name(known, key, one) for one in arguments]
    return {"method": _name(known, key, value["method"]), "arguments": said}


def _choice(*choices: str) -> Callable[[_Words, str, Any], str]:
    def check(_: _Words, key: str, value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _wrong(key, "one of " + ", ".join(choices), value)
        return value

    return check


_CHECKS: Mapping[str, Callable[[_Words, str, Any], object]] = {
    "hub_url": _url, "hub_name": _name, "duration_seconds": _duration, "auto_generate_workflows": _switch,
    "output_file": _file, "listen": _names, "subscribe": _calls, "access_token_file": _file,
    "llm": _choice("auto", "off", "required"), "client": _choice("auto", "signalrcore", "pysignalr"),
}  # fmt: skip
