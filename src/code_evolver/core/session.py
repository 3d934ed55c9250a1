"""The life of a connection to the hub as a generator: what to do next, decided from how the last attempt ended.

The driver (edges/hub/drive.py) does each step and sends back what came of it; nothing here waits or talks.

| end of an attempt                           | next                                                                   |
|---------------------------------------------|------------------------------------------------------------------------|
| HubUnreachable: refused, lost, timeout, 5xx | again, after backoff; Retry-After is the floor                         |
| TokenUnavailable: its file or command fails | again, after backoff: who issues tokens may be down as well            |
| closed, and the hub does not ask us back    | again, at the earliest after KICKED_PAUSE (a close record without      |
|                                             | allowReconnect: somebody called Abort; hubs also do so while stopping) |
| HubAuthentication: 401, 403                 | once more with a new token (where a file or command gives one),        |
|                                             | then give up                                                           |
| HubRefused, never connected in this run     | give up                                                                |
| HubRefused, connected before                | again, after backoff: a proxy says 404 while a hub is redeployed       |
| any, `max_reconnect_attempts` in a row      | give up                                                                |

An attempt that led to STABLE seconds of connection is no failed one, and ends the row. Two attempts never start within SPACING seconds of each other.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from code_evolver.core.backoff import full_jitter
from code_evolver.core.errors import HubAuthentication, HubError, HubRefused, TokenUnavailable
from code_evolver.core.setting_kinds import HubCall

STABLE = 5.0
"""Seconds connected after which earlier failures are forgotten."""
SPACING = 1.0
"""Seconds between the starts of two attempts, at least: a hub that refuses every handshake is asked once a second."""
KICKED_PAUSE = 5.0
"""Seconds to stay away, at least, after a close without allowReconnect."""
NEW_TOKEN_PAUSE = 1.0
"""Seconds before a new token is asked for: it may be rotating right now."""


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What the hub edge needs to know; names and defaults as in the contract's connector settings."""

    hub_url: str = field(repr=False)
    hub_name: str = "TaskHub"
    subscribe: Sequence[HubCall] = ()
    listen: Sequence[str] = ()
    stream: Sequence[HubCall] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str | None = None
    client: str = "auto"
    max_reconnect_attempts: int = 10
    server_timeout_seconds: float = 30.0
    keep_alive_seconds: float = 15.0
    max_message_bytes: int = 16 * 1024 * 1024
    access_token: str | None = field(default=None, repr=False)
    access_token_file: str | None = None
    access_token_command: str | Sequence[str] | None = field(default=None, repr=False)
    connect_timeout_seconds: float = 10.0
    handshake_timeout_seconds: float = 15.0
    token_timeout_seconds: float = 10.0
    reconnect_delay_seconds: float = 1.0
    reconnect_delay_limit_seconds: float = 30.0

    @property
    def can_renew_token(self) -> bool:
        """Whether asking again may give another token."""
        return bool(self.access_token_file or self.access_token_command)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Step: get a token, negotiate, open, shake hands, and stay connected until it ends. Answer: an End."""

    number: int
    """1 for the first, counting those in a row."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Step: wait. No answer."""

    seconds: float
    attempt: int
    """The number of the attempt that follows."""
    error: HubError


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended."""

    error: HubError
    seconds: float
    """From the attempt's start to its end."""
    connected_seconds: float = 0.0
    """0 where it never was connected."""
    kicked: bool = False
    """The hub sent a close record without allowReconnect."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `seconds`; so many `failures` in a row, so many `tokens_refused` with no other answer of the hub between."""

    seconds: float
    failures: int
    tokens_refused: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There is no use, or no attempt left."""

    error: HubError


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier attempts leave behind."""

    failures: int = 0
    tokens_refused: int = 0
    ever_connected: bool = False


def after(end: End, past: Past, settings: HubSettings, random: float) -> Retry | GiveUp:
    """Decide what follows an attempt that ended. `random` is in 0…1."""
    failures = 0 if end.connected_seconds >= STABLE else past.failures + 1
    refused = isinstance(end.error, HubAuthentication)
    tokens_refused = past.tokens_refused + refused if refused or isinstance(end.error, TokenUnavailable) else 0
    if refused and (tokens_refused > 1 or not settings.can_renew_token):
        return GiveUp(end.error)
    if isinstance(end.error, HubRefused) and not (past.ever_connected or end.connected_seconds):
        return GiveUp(end.error)
    if settings.max_reconnect_attempts and failures >= settings.max_reconnect_attempts:
        return GiveUp(end.error)
    return Retry(_pause(end, failures, settings, random), failures, tokens_refused)


def _pause(end: End, failures: int, settings: HubSettings, random: float) -> float:
    jittered = full_jitter(
        max(failures, 1), random, first=settings.reconnect_delay_seconds, limit=settings.reconnect_delay_limit_seconds
    )
    floors = [jittered, SPACING - end.seconds, end.error.retry_after or 0.0]
    if end.kicked:
        floors.append(KICKED_PAUSE)
    if isinstance(end.error, HubAuthentication):
        floors.append(NEW_TOKEN_PAUSE)
    return max(floors)


def life(settings: HubSettings, random: Callable[[], float]) -> Generator[Attempt | Sleep, End | None, HubError]:
    """Give the steps of a connection's life; returns the error with which it was given up."""
    past = Past()
    while True:
        end = yield Attempt(past.failures + 1)
        if end is None:
            raise AssertionError("an Attempt is answered with its End")
        verdict = after(end, past, settings, random())
        if isinstance(verdict, GiveUp):
            return verdict.error
        past = Past(verdict.failures, verdict.tokens_refused, past.ever_connected or end.connected_seconds > 0)
        yield Sleep(verdict.seconds, verdict.failures + 1, end.error)
