"""A tool's manifest: what it is called, takes and gives, and how it is run. Checked whole when it is read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import fastjsonschema

from code_evolver.core import yaml_strict
from code_evolver.core.errors import ManifestError
from code_evolver.core.manifest_schema import MANIFEST, PARTS, known_keys
from code_evolver.core.schema_fit import Place, compiled, did_you_mean, fit, nearest, plainly_valid, said_of
from code_evolver.core.strict_json import canonical, show

__all__ = ["Executable", "Http", "HttpShape", "Llm", "Manifest", "load", "nearest", "placeholders"]

_PLACEHOLDER = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
DEFAULT_TIMEOUT = 60.0
"""Seconds, for tools whose manifest names no limit."""


@dataclass(frozen=True, slots=True)
class Executable:
    """A program that reads one JSON object and prints one."""

    command: str
    args: tuple[str, ...]
    timeout_seconds: float = DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class Llm:
    """A question to a model."""

    tier: str
    prompt_template: str
    system_prompt: str = ""
    temperature: float = 0.2
    max_tokens: int = 2000
    fallback: str = "none"


@dataclass(frozen=True, slots=True)
class HttpShape:
    """How one service is asked."""

    method: str
    path: str
    request: Mapping[str, Any]
    response: str
    omit_values: tuple[str, ...] = ()
    """Values that this service does not know ("auto"): their keys are left out of the request."""


@dataclass(frozen=True, slots=True)
class Http:
    """A service on the network, in one or several dialects that are tried in order."""

    shapes: tuple[HttpShape, ...]
    base_url: str = ""
    timeout_seconds: float = 30.0
    fallback_tier: str = ""
    """Tier of the model that is asked where no server is configured; "" for none."""
    fallback_prompt: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One tool. The part of its type (executable, llm, http) is there, the others are None."""

    name: str
    type: Literal["executable", "llm", "http", "workflow"]
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    examples: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    executable: Executable | None = None
    llm: Llm | None = None
    http: Http | None = None
    path: str = field(default="", compare=False)

    def check_input(self, payload: Any) -> None:
        """Raise InputError, which quotes the key and names the nearest known one, where the payload does not fit."""
        fit(self.input_schema, payload, f"{self.name}: the input", self.input_schema.get("properties", {}))

    def check_output(self, payload: Any) -> None:
        """Raise InputError where the tool's answer does not fit."""
        fit(self.output_schema, payload, f"{self.name}: the output", self.output_schema.get("properties", {}))


def load(text: str | bytes, path: str) -> Manifest:
    """Read a manifest. `path` names the file: for messages, and because the tool must be called like it.

    Raises ManifestError with file and line.
    """
    given = yaml_strict.load(text, path)
    words = text.decode("utf-8-sig") if isinstance(text, bytes) else text

    def wrong(place: Place, what: str, hint: str) -> ManifestError:
        return ManifestError(f"{path}, line {yaml_strict.line_of(words, place)}: {what}", hint)

    for place in _unknown(given):
        known = known_keys(place[:-1])
        hint = did_you_mean(str(place[-1]), known) or f"Known: {', '.join(known)}."
        raise wrong(place, f"unknown key {show(place[-1], 60)}.", hint)
    try:
        compiled(canonical(MANIFEST))(given)
    except fastjsonschema.JsonSchemaValueException as error:
        place, said = said_of(error)
        named = ".".join(map(str, place)) or "the manifest"
        raise wrong(place, f"{named} {said}", "Compare it with a shipped manifest in tools/.") from None
    for place, what, hint in _faults(given, path):
        raise wrong(place, what, hint)
    return _build(given, path)


def _unknown(given: Any, at: Place = ()) -> Iterator[Place]:
    """Give the places of keys that manifests do not have."""
    known = known_keys(at)
    rows = given.items() if isinstance(given, Mapping) else enumerate(given) if isinstance(given, list) else ()
    for key, value in rows:
        if known and isinstance(given, Mapping) and key not in known:
            yield (*at, key)
        elif at[:1] not in {("input_schema",), ("output_schema",)}:
            yield from _unknown(value, (*at, key))


def _faults(given: Mapping[str, Any], path: str) -> Iterator[tuple[Place, str, str]]:
    """Say what the schema of manifests cannot."""
    stem = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    if given["name"] != stem:
        yield ("name",), f"the name {show(given['name'])} is not the file's name {show(stem)}.", "Give both one name."
    for part in PARTS:
        if (part in given) != (part == given["type"]):
            what = "missing" if part == given["type"] else "not wanted"
            yield (part,), f"for a tool of type {given['type']}, the part {part} is {what}.", "Match type and part."
    for key in ("input_schema", "output_schema"):
        problem = _schema_problem(given[key])
        if problem:
            yield (key,), f"{key} is no JSON Schema: {problem}.", "See json-schema.org (draft 7)."
            return
    known = given["input_schema"].get("properties", {})
    for place, template in _templates(given):
        for name in placeholders(template):
            if name not in known and not (place[0] == "http" and name == "api_key"):
                hint = did_you_mean(name, known) or f"Known: {', '.join(known)}."
                yield place, f"the placeholder {{{name}}} is no property of input_schema.", hint


def _schema_problem(schema: Mapping[str, Any]) -> str:
    for name, row in schema.get("properties", {}).items():
        if not isinstance(row, Mapping):
            return f"property {show(name, 40)} is no object"
    if plainly_valid(schema):
        return ""
    if re.search(r'"\$ref":"(?!#)', canonical(schema)):
        return "$ref may only point into the same schema"  # the library would fetch another from the network
    try:
        compiled(canonical(schema))
    except (
        fastjsonschema.JsonSchemaDefinitionException,
        re.error,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
    ) as error:
        return str(error)[:200] or type(error).__name__
    return ""


def placeholders(template: str) -> list[str]:
    """List the names of a template's {placeholders}; doubled braces are text."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(template)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _templates(given: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if "llm" in given:
        yield ("llm", "prompt_template"), given["llm"]["prompt_template"]
    http = given.get("http", {})
    yield ("http", "fallback_prompt"), http.get("fallback_prompt", "")
    for text in _texts(http.get("request", {})):
        yield ("http", "request"), text
    for number, shape in enumerate(http.get("alternatives", [])):
        for text in _texts(shape["request"]):
            yield ("http", "alternatives", number), text


def _shape(given: Mapping[str, Any]) -> HttpShape:
    omitted = tuple(given.get("omit_values", ()))
    return HttpShape(given["method"], given["path"], given["request"], given["response"], omitted)


def _http(given: Mapping[str, Any]) -> Http:
    shapes = tuple(_shape(one) for one in (given, *given.get("alternatives", [])))
    kept = {
        key: given[key] for key in ("base_url", "timeout_seconds", "fallback_tier", "fallback_prompt") if key in given
    }
    return Http(shapes, **kept)


def _build(given: Mapping[str, Any], path: str) -> Manifest:
    parts: dict[str, Any] = {}
    if "executable" in given:
        parts["executable"] = Executable(**{**given["executable"], "args": tuple(given["executable"]["args"])})
    if "llm" in given:
        parts["llm"] = Llm(**given["llm"])
    if "http" in given:
        parts["http"] = _http(given["http"])
    return Manifest(
        name=given["name"],
        type=given["type"],
        description=given["description"],
        input_schema=given["input_schema"],
        output_schema=given["output_schema"],
        examples=tuple(given.get("examples", ())),
        tags=tuple(given.get("tags", ())),
        path=path,
        **parts,
    )
