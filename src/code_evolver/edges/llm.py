"""Model backends over HTTP: drives the questions of core.asking, owns the one httpx client, and decides nothing.

A question is sent without streaming (the four formats stream in four ways), but its answer is read in pieces and given up
past READ_LIMIT.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import httpx

from code_evolver.core import tiers
from code_evolver.core.asking import asking
from code_evolver.core.budget import Account
from code_evolver.core.dialects import MODULES
from code_evolver.core.dialects.wire import Dialect, Failure, read_failure
from code_evolver.core.llm_check import Row, check_steps, pick_model
from code_evolver.core.llm_config import Backend, LlmConfig, ModelRef
from code_evolver.core.llm_trouble import nothing_configured
from code_evolver.core.model_desk import Desk, Got, Pause, Send, Step, Tell
from code_evolver.core.model_memory import read_memory, write_memory
from code_evolver.core.probing import ping
from code_evolver.core.strict_json import escape
from code_evolver.ports import Ask, Emit, Reply

READ_LIMIT = 4 * 1024 * 1024
LOOK_UP_SECONDS = 10.0
_LOCAL = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_OLLAMA = "http://127.0.0.1:11434"
Result = TypeVar("Result")


def _dialect(name: str) -> Dialect:
    return import_module(MODULES[name])


def _quiet(_event: str, **_fields: object) -> None:
    return


class _KeyMissing(Exception):
    """The key of a backend cannot be had; the text says why."""


class HttpModels:
    """ports.Models over HTTP. `config` None: no backend.

    `memory`: a file that keeps what servers can do from run to run (no secrets). `max_tokens`: the run's budget; None: config's.
    """

    def __init__(
        self,
        config: LlmConfig | None,
        emit: Emit = _quiet,
        *,
        environ: Mapping[str, str] | None = None,
        memory: Path | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._emit = emit
        self._environ = os.environ if environ is None else environ
        self._memory = memory
        config = config or LlmConfig()
        config = replace(config, max_tokens=config.max_tokens if max_tokens is None else max_tokens)
        self._desk = Desk(config, _dialect, time.time, random.random)
        self._desk.capabilities.update(_remembered(memory, self._desk.config))
        self._client: httpx.AsyncClient | None = None

    @property
    def configured(self) -> bool:
        """False: every ask raises ModelUnavailable."""
        return bool(self._desk.config.tiers)

    @property
    def config(self) -> LlmConfig:
        """Backends, tiers and limits; empty where no backend is configured."""
        return self._desk.config

    @property
    def spent(self) -> Account:
        """What the run has cost so far."""
        return self._desk.spent

    def tiers_above(self, tier: str) -> Sequence[str]:
        """Give the stronger tiers that have another model, nearest first."""
        return tiers.above(self._desk.config.tiers, tier)

    async def ask(self, ask: Ask) -> Reply:
        """Ask the models of the tier. Raises ModelError."""
        return await self._drive(asking(ask, self._desk))

    async def down_since(self) -> float | None:
        """Say since when no backend answers; those not heard of, or due for another try, are asked first."""
        for name in sorted(self._desk.used()):
            circuit = self._desk.circuit(name)
            unheard = name not in self._desk.circuits or (circuit.state == "closed" and circuit.failures)
            if unheard or (circuit.state != "closed" and tiers.may_ask(circuit, self._desk.now())):
                for _ in range(tiers.OPENS_AFTER):
                    await self._drive(ping(name, self._desk))
                    if not self._desk.circuit(name).failures or self._desk.circuit(name).state == "open":
                        break
        return self._desk.down_since()

    async def check_backend(self) -> list[Row]:
        """Try each model of the tiers: (name, "ok" | "warning" | "failed", what was found, what mends it)."""
        if not self.configured:
            error = nothing_configured()
            return [("llm", "warning", error.message, error.hint)]
        rows: list[Row] = []
        for ref in dict.fromkeys(ref for refs in self._desk.config.tiers.values() for ref in refs):
            rows += await self._drive(check_steps(ref, self._desk))
        return rows

    async def close(self) -> None:
        """Close connections and keep what was learnt."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        if self._memory is not None and self._desk.capabilities:
            await asyncio.to_thread(_remember, self._memory, write_memory(self._desk, time.time()))

    async def _drive(self, steps: Generator[Step, Any, Result]) -> Result:
        got: Got | None = None
        while True:
            try:
                step = steps.send(got)
            except StopIteration as end:
                result: Result = end.value
                return result
            got = await self._do(step)

    async def _do(self, step: Step) -> Got | None:
        if isinstance(step, Tell):
            self._emit(step.event, **step.fields)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            return await self._send(step)
        return None

    async def _send(self, send: Send) -> Got:
        begun = time.perf_counter()
        limits = send.backend.timeouts
        total = min(limits.total, send.within, LOOK_UP_SECONDS if send.raw else send.within)
        key = ""
        try:
            key = self._key(send.backend) if send.request.key_header else ""
            async with asyncio.timeout(total):
                status, headers, body = await self._exchange(send, key)
        except _KeyMissing as error:
            return Got(Failure("auth", str(error)), 0.0)
        except TimeoutError:
            return Got(Failure("timeout", f"no whole answer within {total:g} s"), total)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Got(_hide(_failure(error), key), time.perf_counter() - begun)
        seconds = time.perf_counter() - begun
        if body is None:
            return Got(Failure("large", f"the answer is larger than {READ_LIMIT} bytes", status), seconds)
        if send.raw:
            return Got(body if status == 200 else _hide(read_failure(status, headers, body), key), seconds)
        answer = _dialect(send.backend.type).read(status, headers, body)
        return Got(_hide(answer, key) if isinstance(answer, Failure) else answer, seconds)

    async def _exchange(self, send: Send, key: str) -> tuple[int, Mapping[str, str], bytes | None]:
        request, limits = send.request, send.backend.timeouts
        headers = {**request.headers, "accept-encoding": "identity"}
        content = None
        if request.body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(request.body, ensure_ascii=False).encode("utf-8", "replace")
        if key:
            headers[request.key_header] = f"{request.key_prefix}{key}"
        timeout = httpx.Timeout(limits.read, connect=limits.connect)
        async with (
            self._connected(fresh=send.fresh) as client,
            client.stream(request.method, request.url, headers=headers, content=content, timeout=timeout) as response,
        ):
            body = await _read(response)
            return response.status_code, {name.lower(): value for name, value in response.headers.items()}, body

    @asynccontextmanager
    async def _connected(self, *, fresh: bool) -> AsyncIterator[httpx.AsyncClient]:
        if fresh:
            async with _new_client() as client:
                yield client
            return
        if self._client is None:
            self._client = _new_client()
        yield self._client

    def _key(self, backend: Backend) -> str:
        if backend.api_key_file:
            try:
                return Path(backend.api_key_file).expanduser().read_text(encoding="utf-8").strip()
            except (OSError, RuntimeError, UnicodeDecodeError) as error:
                what = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
                reason = getattr(error, "strerror", what)
                raise _KeyMissing(f"the key file {backend.api_key_file} cannot be read: {reason}") from None
        if not backend.api_key_env:
            return ""
        key = self._environ.get(backend.api_key_env, "").strip()
        if not key:
            raise _KeyMissing(f"the environment variable {backend.api_key_env} is not set")
        return key


def _new_client() -> httpx.AsyncClient:
    """Make a client that asks proxies for the outside only, and follows nobody elsewhere with the key."""
    return httpx.AsyncClient(follow_redirects=False, mounts=dict.fromkeys(_LOCAL))


async def _read(response: httpx.Response) -> bytes | None:
    """Read the body in pieces; None once it is past the limit."""
    body = bytearray()
    async for piece in response.aiter_bytes(65_536):
        body += piece
        if len(body) > READ_LIMIT:
            return None
    return bytes(body)


def _failure(error: httpx.HTTPError | httpx.InvalidURL) -> Failure:
    """Map httpx's errors; the first row that fits wins."""
    words = escape(str(error) or type(error).__name__)[:300]
    for kinds, kind in (
        ((httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError), "connect"),
        ((httpx.TimeoutException,), "timeout"),
        ((httpx.LocalProtocolError,), "request"),
        ((httpx.NetworkError, httpx.RemoteProtocolError), "read"),
        ((httpx.DecodingError,), "odd"),
    ):
        if isinstance(error, kinds):
            return Failure(kind, words)  # type: ignore[arg-type]  # the table's words are kinds
    return Failure("path", words)


def _hide(failure: Failure, key: str) -> Failure:
    """Take the key out of a server's words, should it repeat it."""
    if not key or key not in failure.words:
        return failure
    words = failure.words.replace(key, "***")
    return Failure(failure.kind, words, failure.status, failure.retry_after, failure.detail)


def _remembered(memory: Path | None, config: LlmConfig) -> Mapping[ModelRef, Any]:
    try:
        text = memory.read_text(encoding="utf-8") if memory else ""
    except (OSError, UnicodeDecodeError):
        text = ""  # it can be learnt again
    return read_memory(text, config, time.time())


def _remember(memory: Path, text: str) -> None:
    draft = memory.with_name(f"{memory.name}.{os.getpid()}.tmp")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(memory)
    except OSError:
        draft.unlink(missing_ok=True)  # only a convenience: the next run probes again


async def discover(timeout: float = 0.5, url: str = _OLLAMA) -> LlmConfig | None:  # noqa: ASYNC109 - it is httpx's own
    """Look for Ollama on its usual port; None where it is not, or has no model that writes text."""
    backend = Backend("ollama", "ollama", url)
    dialect = _dialect("ollama")
    request = dialect.list_request(backend)
    try:
        # Plain http on this machine: no certificates are loaded (25 ms of every start).
        async with httpx.AsyncClient(trust_env=False, timeout=timeout, verify=False) as client:  # noqa: S501 - see above
            response = await client.get(request.url if request else url)
    except httpx.HTTPError:
        return None
    model = (
        pick_model([one.name for one in dialect.read_models(response.content)]) if response.status_code == 200 else ""
    )
    return LlmConfig({"ollama": backend}, {"general": (ModelRef("ollama", model),)}) if model else None
