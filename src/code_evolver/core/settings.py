"""Where settings come from: flags (or JSON on stdin), the environment, config.yaml, defaults, in this order."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from code_evolver.core.errors import CodeEvolverError, ConfigurationError, InputError
from code_evolver.core.setting_kinds import HubCall, Wrong, as_json
from code_evolver.core.setting_table import ROWS, TOKEN_ROWS, Row, Settings, input_schema
from code_evolver.core.strict_json import kind, show

__all__ = [
    "ROWS", "Flag", "HubCall", "Layer", "Resolved", "Row", "Settings", "defaults_differ", "flags", "from_config",
    "from_environment", "from_flags", "from_json", "input_schema", "nearest", "require_hub", "resolve", "show_config",
]  # fmt: skip

HIDDEN = "***"
OTHER_VARIABLES = (
    "CODE_EVOLVER_LLM_URL", "CODE_EVOLVER_LLM_TYPE", "CODE_EVOLVER_LLM_MODEL", "CODE_EVOLVER_LLM_API_KEY",
    "CODE_EVOLVER_NMT_URL", "CODE_EVOLVER_NMT_API_KEY", "CODE_EVOLVER_STUB_TOOLS", "CODE_EVOLVER_RUN_CHANGED",
    "CODE_EVOLVER_COUNT_NODE_FAILURES",
)  # fmt: skip
"""Read by the model and the HTTP tool edges, and where a node is started by hand (host.py)."""
SECTIONS = ("llm", "tools")
"""Parts of config.yaml that hold an object, handed on as they are."""
_SECRET_HEADERS = ("auth", "cookie", "token", "key", "secret", "password")


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings of one source, checked."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    """Setting → where it stands: "flag --duration", "environment CODE_EVOLVER_LLM", "config.yaml"."""
    sections: Mapping[str, Any] = field(default_factory=dict)
    """config.yaml only: `llm` (backends, tiers) and `tools`, unread."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What holds, and why."""

    settings: Settings
    origins: Mapping[str, str]
    """For every setting; "default" where nothing was said."""
    sections: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flag:
    """One command line flag, as argparse wants it; every value is text (switches have a --no- form)."""

    name: str
    """With its dashes."""
    setting: str
    help: str
    metavar: str
    switch: bool


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Find the name that was probably meant."""
    known = list(names)
    folded = {one.lower().replace("-", "_"): one for one in known}
    found = difflib.get_close_matches(name.lower().replace("-", "_")[:100], folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def _unknown(fault: type[CodeEvolverError], name: str, where: str, names: Iterable[str]) -> CodeEvolverError:
    meant = nearest(name, names)
    hint = f"Did you mean {meant}?" if meant else "See `--help` for the settings there are."
    return fault(f"{where} has an unknown setting {show(name, 60)}.", hint)


def _read(row: Row, value: Any, fault: type[CodeEvolverError], label: str, *, as_text: bool) -> Any:
    if value is None:
        if row.nullable:
            return None
        raise fault(f"{label} must not be null.", "Leave it out to have its default.")
    try:
        return row.kind.read(value, as_text)
    except Wrong as wrong:
        said = str(wrong) if not row.secret else str(wrong).split(":", maxsplit=1)[0].rstrip(".") + "."
        raise fault(f"{label} {said}", wrong.hint or row.help) from None


def _one_token(values: Mapping[str, Any], fault: type[CodeEvolverError], where: str) -> None:
    given = [name for name in TOKEN_ROWS if values.get(name)]
    if len(given) > 1:
        raise fault(f"{where} gives both {given[0]} and {given[1]}.", "Give the token in one way only.")


def from_json(given: Any, where: str = "JSON on stdin") -> Layer:
    """Read the connector's JSON settings. Raises InputError that names the key."""
    if not isinstance(given, Mapping):
        raise InputError(f"The settings must be an object, but are {kind(given)}.", 'Send {"hub_url": "http://…"}.')
    for key in given:
        if key not in ROWS:
            raise _unknown(InputError, str(key), where, ROWS)
    values = {key: _read(ROWS[key], value, InputError, key, as_text=False) for key, value in given.items()}
    _one_token(values, InputError, where)
    return Layer(values, dict.fromkeys(values, where))


def from_flags(given: Mapping[str, str | bool | None]) -> Layer:
    """Read flag texts by setting name; None: not given. Raises InputError that names the flag."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        row = ROWS[name]
        values[name] = _read(row, value, InputError, f"--{row.flag}", as_text=True)
    for header in values.get("headers", {}):
        if any(word in header.lower() for word in _SECRET_HEADERS):
            raise InputError(
                f"--headers holds {show(header, 40)}, and others can read a command line.",
                "Give secret headers in CODE_EVOLVER_HEADERS or config.yaml, a token with --access-token-file.",
            )
    _one_token(values, InputError, "The command line")
    return Layer(values, {name: f"flag --{ROWS[name].flag}" for name in values})


def from_environment(environment: Mapping[str, str]) -> Layer:
    """Read CODE_EVOLVER_… variables; empty ones count as not set.

    Raises ConfigurationError that names the variable, also for one that is a misspelt known one.
    """
    by_variable = {row.environment: row for row in ROWS.values()}
    values: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith("CODE_EVOLVER_") or not value.strip() or variable in OTHER_VARIABLES:
            continue
        row = by_variable.get(variable)
        if row is not None:
            values[row.name] = _read(row, value, ConfigurationError, variable, as_text=True)
        elif difflib.get_close_matches(variable[13:], [known[13:] for known in by_variable], n=1, cutoff=0.75):
            raise _unknown(ConfigurationError, variable, "The environment", by_variable)
    _one_token(values, ConfigurationError, "The environment")
    return Layer(values, {name: f"environment {ROWS[name].environment}" for name in values})


def from_config(given: Any, where: str = "config.yaml") -> Layer:
    """Read config.yaml as loaded by yaml_strict. `llm` may be a word or the section of backends, with a `mode`.

    Raises ConfigurationError that names the key.
    """
    if given is None:
        return Layer({}, {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{where} must hold keys and values, but is {kind(given)}.", "Write one setting a line."
        )
    sections = {key: given[key] for key in SECTIONS if isinstance(given.get(key), Mapping)}
    plain = {key: value for key, value in given.items() if key not in sections}
    if "mode" in sections.get("llm", {}):
        plain["llm"] = sections["llm"]["mode"]
        sections["llm"] = {key: value for key, value in sections["llm"].items() if key != "mode"}
    for key in plain:
        if key not in ROWS:
            raise _unknown(ConfigurationError, str(key), where, [*ROWS, *SECTIONS])
    values = {
        key: _read(ROWS[key], value, ConfigurationError, f"{where}: {key}", as_text=True)
        for key, value in plain.items()
    }
    _one_token(values, ConfigurationError, where)
    return Layer(values, dict.fromkeys(values, where), sections)


def resolve(*layers: Layer) -> Resolved:
    """Lay sources over each other, the strongest first."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = dict.fromkeys(ROWS, "default")
    sections: dict[str, Any] = {}
    for layer in reversed(layers):
        if any(layer.values.get(name) for name in TOKEN_ROWS):
            for name in TOKEN_ROWS:
                values.pop(name, None)
                origins[name] = "default"
        values.update(layer.values)
        origins.update(layer.origins)
        sections.update(layer.sections)
    return Resolved(Settings(**values), origins, sections)


def require_hub(settings: Settings) -> str:
    """Give the hub's address. Raises InputError where there is none."""
    if not settings.hub_url:
        raise InputError(
            "hub_url is missing.", "Give --hub-url http://localhost:5000/taskhub, or try `--demo`, which needs no hub."
        )
    return settings.hub_url


def flags(door: str = "launcher") -> tuple[Flag, ...]:
    """List the flags of a door. Secrets have none: they would stand in the list of processes."""
    return tuple(
        Flag(f"--{row.flag}", row.name, _flag_help(row), row.kind.metavar, switch=not row.kind.metavar)
        for row in ROWS.values()
        if row.flag and door in row.doors
    )


def _flag_help(row: Row) -> str:
    shown = "" if row.default in (None, "", (), {}) else f" Default: {_shown(row.default)}"
    return row.help + shown


def _shown(value: Any) -> str:
    simple = as_json(value)
    return {True: "yes", False: "no"}[simple] if isinstance(simple, bool) else str(simple)


def show_config(resolved: Resolved) -> list[dict[str, Any]]:
    """Give a row a setting: name, value (secrets as ***), unit, origin."""

    def value_of(row: Row) -> Any:
        value = getattr(resolved.settings, row.name)
        if not row.secret or not value:
            return as_json(value)
        return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN

    return [
        {"name": row.name, "value": value_of(row), "unit": row.unit, "origin": resolved.origins[row.name]}
        for row in ROWS.values()
    ]


def defaults_differ(settings: Settings) -> dict[str, Any]:
    """Give, as JSON, the settings that are not as by default."""
    return {
        name: as_json(getattr(settings, name)) for name, row in ROWS.items() if getattr(settings, name) != row.default
    }
