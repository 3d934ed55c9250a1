"""Say what went wrong with a model, and what to do next: one table of hints."""

from collections.abc import Mapping, Sequence

from code_evolver.core.dialects.wire import Failure, FailureKind
from code_evolver.core.errors import ModelError, ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.core.llm_config import Backend, LlmConfig, ModelRef
from code_evolver.core.retry import floor_of

_WAITING = frozenset({"connect", "read", "timeout", "loading", "rate", "server", "down"})
_CUT = frozenset({"truncated", "context"})
_CHECK = "`code-evolver check` tries it."
_HINTS: Mapping[FailureKind, str] = {
    "connect": "Start the server, or correct base_url. " + _CHECK,
    "read": "The connection broke; see the server's log. " + _CHECK,
    "timeout": "A slow model needs longer timeouts.read and timeouts.total, or choose a smaller model.",
    "loading": "The model is still loading; it is asked again.",
    "rate": "The server limits how often it is asked; it is asked again later.",
    "server": "See the server's log. " + _CHECK,
    "down": "Start the server. It is tried again by itself. " + _CHECK,
    "quota": "The account has no credit left: top it up, or put another model into the tier.",
    "auth": "Check the key: api_key_env or api_key_file of this backend.",
    "model": "Correct the model's name in llm.tiers, or pull it (`ollama pull NAME`).",
    "path": "Correct base_url and type: OpenAI-compatible servers want the address up to /v1.",
    "context": "The prompt does not fit the model: choose one with a larger context, or raise the server's.",
    "schema": "The server takes no schema in this form; try another model or type.",
    "parameter": "The server refuses a parameter; try another model or type.",
    "filter": "The server's content filter refused it; try another model.",
    "request": "The server refused the request as it stands; check the backend's type.",
    "odd": "What answers there speaks another format: check type and base_url.",
    "empty": "The model answered nothing; choose another, or one that reasons less.",
    "mismatch": "The model does not keep to the asked form; choose a stronger one.",
    "truncated": "Raise max_tokens, or choose a model with a larger context.",
    "large": "The answer was larger than 4 MB; check the server.",
}


def nothing_configured() -> ModelUnavailable:
    """Make the error of a program without any backend."""
    return ModelUnavailable(
        "No model backend is configured.",
        "Start Ollama, or set CODE_EVOLVER_LLM_URL (and _MODEL, _API_KEY), or write llm.backends into config.yaml.",
    )


def hint_of(kind: FailureKind) -> str:
    """Say what to do next."""
    return _HINTS[kind]


def describe(failure: Failure, backend: Backend, model: str) -> str:
    """Name backend, address, model, status and the server's own words."""
    who = f"The backend '{backend.name}' ({backend.base_url}{', model ' + model if model else ''})"
    if not failure.status:
        return f"{who} did not answer: {failure.words or failure.kind}."
    words = f": {failure.words.rstrip('.')}" if failure.words else ""
    if failure.status == 200:
        return f"{who} gave no usable answer{words}."
    return f"{who} answered with status {failure.status}{words}."


def error_of(troubles: Sequence[tuple[ModelRef, Failure]], config: LlmConfig, now: float = 0.0) -> ModelError:
    """Make one error of what each model of a tier came to.

    A cut answer comes first (a stronger tier may do it), then one that waiting mends, then what has to be mended by hand.
    """
    error: type[ModelError] = ModelRefused
    found = list(troubles)
    for kinds, kind_of_error in ((_WAITING, ModelUnavailable), (_CUT, ModelTruncated)):
        fitting = [(ref, failure) for ref, failure in troubles if failure.kind in kinds]
        if fitting:
            error, found = kind_of_error, fitting
    rest = [one for one in troubles if one not in found]
    said = [describe(failure, config.backends[ref.backend], ref.model) for ref, failure in (*found, *rest)]
    hints = dict.fromkeys(hint_of(failure.kind) for _, failure in (*found, *rest))
    floors = [floor_of(failure.retry_after, now) for _, failure in found if failure.retry_after]
    return error(" ".join(dict.fromkeys(said)), " ".join(hints), retry_after=min(floors, default=None))
