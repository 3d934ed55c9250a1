"""Which model backends there are and which model serves which tier: read from the `llm:` mapping and the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from code_evolver.core.errors import ConfigurationError
from code_evolver.core.strict_json import kind, show

TYPES = ("ollama", "openai", "azure", "anthropic")
TIERS = ("fast", "general", "strong")
ENVIRONMENT = ("CODE_EVOLVER_LLM_URL", "CODE_EVOLVER_LLM_TYPE", "CODE_EVOLVER_LLM_MODEL", "CODE_EVOLVER_LLM_API_KEY")
AZURE_VERSION = "2024-10-21"
_SECRETS = ("api_key", "key", "token", "password", "secret")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A local model that is asked without streaming is silent until it is done, so `read` is long."""

    connect: float = 10.0
    read: float = 600.0
    """The longest gap between two bytes."""
    total: float = 900.0
    """The longest one request may take, loading included."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint. The key itself is never in here: the edge reads it when it sends."""

    name: str
    type: str
    base_url: str
    api_key_env: str = ""
    api_key_file: str = ""
    context: int | None = None
    """Tokens that prompt and answer may take together; None: asked of the server."""
    timeouts: Timeouts = Timeouts()
    api_version: str = AZURE_VERSION
    """Azure only."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model of a backend."""

    backend: str
    model: str
    """"" means the server's first."""

    def __str__(self) -> str:
        return f"{self.backend}/{self.model}" if self.model else self.backend


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """Everything that the model edge has to know."""

    backends: Mapping[str, Backend] = field(default_factory=dict)
    tiers: Mapping[str, tuple[ModelRef, ...]] = field(default_factory=dict)
    """Models of a tier, in the order in which they are asked."""
    max_tokens: int | None = None
    """Budget of a run, prompts and answers together; None: no limit."""
    deadline_seconds: float = 1800.0
    """The longest that one question may take, with everything that is tried again."""
    keep_prompts: bool = False
    """Keep prompts and answers of accepted drafts too (those of failed drafts always are)."""
    patience_seconds: float = 60.0
    """How long tasks of a known type wait for backends that are all down, before they are composed without a model."""
    task_seconds: float = 3600.0
    """The longest that one task may keep models busy, with every repair and tier."""


def read_config(llm: Mapping[str, Any]) -> LlmConfig:
    """Read the `llm:` mapping of config.yaml. Raises ConfigurationError that names the key and the nearest known one."""
    _known("llm", llm, tuple(item.name for item in fields(LlmConfig)))
    rows = _mapping("llm.backends", llm.get("backends", {}))
    backends = {name: _backend(f"llm.backends.{name}", name, row) for name, row in rows.items()}
    wanted = _mapping("llm.tiers", llm.get("tiers", {}))
    _known("llm.tiers", wanted, TIERS)
    tiers = {tier: _models(f"llm.tiers.{tier}", wanted[tier], backends) for tier in TIERS if tier in wanted}
    if backends and not tiers:
        raise ConfigurationError(
            "llm.tiers names no model, so the backends would never be asked.",
            f"Add e.g. tiers: {{general: {next(iter(backends))}/MODEL}}.",
        )
    return LlmConfig(
        backends,
        tiers,
        max_tokens=_whole("llm.max_tokens", llm.get("max_tokens")),
        deadline_seconds=_seconds("llm.deadline_seconds", llm.get("deadline_seconds", 1800.0)),
        keep_prompts=_flag("llm.keep_prompts", llm.get("keep_prompts", False)),
        patience_seconds=_seconds("llm.patience_seconds", llm.get("patience_seconds", 60.0)),
        task_seconds=_seconds("llm.task_seconds", llm.get("task_seconds", 3600.0)),
    )


def from_environment(environ: Mapping[str, str]) -> LlmConfig | None:
    """Read the one model that CODE_EVOLVER_LLM_URL and its companions describe; None where the URL is not set."""
    url, kind_of, model, key = (environ.get(name, "").strip() for name in ENVIRONMENT)
    if not url:
        if kind_of or model or key:
            raise ConfigurationError(
                "CODE_EVOLVER_LLM_URL is not set, but another CODE_EVOLVER_LLM_ variable is.",
                "Set CODE_EVOLVER_LLM_URL to the server's address, or clear CODE_EVOLVER_LLM_TYPE, _MODEL and _API_KEY.",
            )
        return None
    row = {"type": kind_of or "openai", "base_url": url, **({"api_key_env": ENVIRONMENT[3]} if key else {})}
    backend = _backend("CODE_EVOLVER_LLM", "env", row)
    return LlmConfig({"env": backend}, {"general": (ModelRef("env", model),)})


def combine(from_file: LlmConfig | None, from_env: LlmConfig | None) -> LlmConfig | None:
    """Let the environment's model stand above those of the file, but keep the file's limits. None where there is neither."""
    if from_file is None or from_env is None:
        return from_env or from_file
    return replace(from_file, backends=from_env.backends, tiers=from_env.tiers)


def _backend(where: str, name: str, row: Any) -> Backend:
    row = _mapping(where, row)
    secret = next((key for key in row if key.lower() in _SECRETS), None)
    if secret:
        raise ConfigurationError(
            f"{where}.{secret} would put a secret into the configuration.",
            "Name an environment variable with api_key_env, or a file with api_key_file.",
        )
    _known(where, row, tuple(item.name for item in fields(Backend) if item.name != "name"))
    if not name or "/" in name:
        raise ConfigurationError(f"{where}: a backend's name may not be empty or hold a slash.", "Name it e.g. local.")
    kind_of = _text(f"{where}.type", row.get("type", ""))
    if kind_of not in TYPES:
        raise ConfigurationError(
            f"{where}.type is {show(kind_of)}.", f"Use one of {', '.join(TYPES)}{_nearest(kind_of, TYPES)}."
        )
    backend = Backend(
        name=name,
        type=kind_of,
        base_url=_url(f"{where}.base_url", row.get("base_url", "")),
        api_key_env=_text(f"{where}.api_key_env", row.get("api_key_env", "")),
        api_key_file=_text(f"{where}.api_key_file", row.get("api_key_file", "")),
        context=_whole(f"{where}.context", row.get("context")),
        timeouts=_timeouts(f"{where}.timeouts", row.get("timeouts", {})),
        api_version=_text(f"{where}.api_version", row.get("api_version", AZURE_VERSION)),
    )
    if backend.api_key_env and backend.api_key_file:
        raise ConfigurationError(f"{where} has both api_key_env and api_key_file.", "Keep one of them.")
    return backend


def _models(where: str, value: Any, backends: Mapping[str, Backend]) -> tuple[ModelRef, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, Sequence) or not words or not all(isinstance(word, str) and word for word in words):
        raise ConfigurationError(
            f"{where} is {kind(value)}, not backend/model or a list of those.",
            "Write e.g. general: local/qwen2.5-coder:14b.",
        )
    refs = tuple(ModelRef(*(word.split("/", 1) if "/" in word else (word, ""))) for word in words)
    for ref in refs:
        if ref.backend not in backends:
            raise ConfigurationError(
                f"{where} names the backend {show(ref.backend)}, which llm.backends has not.",
                f"Known backends: {', '.join(sorted(backends)) or 'none'}{_nearest(ref.backend, backends)}.",
            )
    return tuple(dict.fromkeys(refs))


def _timeouts(where: str, value: Any) -> Timeouts:
    row = _mapping(where, value)
    names = tuple(item.name for item in fields(Timeouts))
    _known(where, row, names)
    return Timeouts(**{name: _seconds(f"{where}.{name}", row[name]) for name in names if name in row})


def _url(where: str, value: Any) -> str:
    text = _text(where, value)
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigurationError(f"{where} is no URL: {show(text)}.", "Write e.g. http://localhost:11434.") from None
    if parts.username or parts.password or parts.query:
        raise ConfigurationError(
            f"{where} holds a user, a password or a query.", "Give the address alone; name the key with api_key_env."
        )
    if parts.scheme not in {"http", "https"} or not has_host:
        raise ConfigurationError(
            f"{where} is {show(text)}, not an http or https address.", "Write e.g. http://localhost:11434."
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _known(where: str, row: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in row:
        if key not in names:
            raise ConfigurationError(
                f"{where} has the unknown key {show(key)}.", f"Known keys: {', '.join(names)}{_nearest(key, names)}."
            )


def _nearest(word: object, names: Sequence[str] | Mapping[str, object]) -> str:
    near = get_close_matches(str(word), list(names), 1, 0.5)
    return f" (nearest: {near[0]})" if near else ""


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{where} is {kind(value)}, not a mapping of names.", "See docs/running.md, Models.")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"{where} is {kind(value)}, not text.", "Put it in quotes.")
    return value.strip()


def _whole(where: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{where} is {show(value)}, not a whole number above 0.", "Write e.g. 8192.")
    return value


def _seconds(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise ConfigurationError(f"{where} is {show(value)}, not seconds between 0 and 86400.", "Write e.g. 600.")
    return float(value)


def _flag(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where} is {kind(value)}, not true or false.", "Write true or false.")
    return value
