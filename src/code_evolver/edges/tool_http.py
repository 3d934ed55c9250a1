"""Asks HTTP tools: the address is resolved and checked before the connection, nothing is followed elsewhere."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from code_evolver.core.errors import ConfigurationError, ToolError
from code_evolver.core.http_tool import OTHER_DIALECT, answer_text, forbidden, problem, request_body
from code_evolver.core.manifest import HttpShape, Manifest
from code_evolver.core.redact import HIDDEN, clean_url
from code_evolver.core.strict_json import show

MAX_ANSWER: Final = 1_000_000
"""Bytes."""


class HttpTools:
    """Calls tools of type http.

    `servers`: tool → {"base_url", "api_key"} that the user configured; they may be on loopback and private networks.
    """

    def __init__(self, servers: Mapping[str, Mapping[str, str]], *, client: httpx.AsyncClient | None = None) -> None:
        """Take the servers; `client` is for tests."""
        self._servers = servers
        self._client = client
        self._spoken: dict[str, HttpShape] = {}

    def server(self, manifest: Manifest) -> str:
        """Give the address of the tool's server; "" where none is configured."""
        configured = self._servers.get(manifest.name, {}).get("base_url", "")
        return configured or (manifest.http.base_url if manifest.http else "")

    async def call(self, manifest: Manifest, values: Mapping[str, str]) -> str:
        """Ask the server, in the dialect it understands. Raises ToolError."""
        http = manifest.http
        base = self.server(manifest).rstrip("/")
        if http is None or not base:
            raise ToolError(f"{manifest.name} has no server.", _hint(manifest))
        filled = {**values, "api_key": self._servers.get(manifest.name, {}).get("api_key", "")}
        try:
            async with asyncio.timeout(http.timeout_seconds):
                return await self._converse(manifest.name, base, http.shapes, filled)
        except TimeoutError:
            seconds = f"{http.timeout_seconds:g} s"
            raise ToolError(
                f"{manifest.name}: no answer within {seconds} from {clean_url(base)}.", _hint(manifest)
            ) from None

    async def _converse(self, name: str, base: str, shapes: tuple[HttpShape, ...], values: Mapping[str, str]) -> str:
        first = ""
        known = self._spoken.get(base)
        for shape in (known,) if known else shapes:
            status, body = await self._send(name, base, shape, values)
            text = answer_text(shape, body) if status == httpx.codes.OK else None
            if text is not None:
                self._spoken[base] = shape
                return text
            first = first or _without(problem(status, body), values.get("api_key", ""))
            if status not in OTHER_DIALECT and status != httpx.codes.OK:
                break
        raise ToolError(f"{name}: {clean_url(base)} answered {first}.", "See the server's own log.")

    async def _send(self, name: str, base: str, shape: HttpShape, values: Mapping[str, str]) -> tuple[int, bytes]:
        address = await self._checked(name, base)
        parts = urlsplit(base)
        host = parts.hostname or ""
        ip = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port else ""
        url = f"{parts.scheme}://{ip}{port}{parts.path}{shape.path}"
        body = request_body(shape, values)
        extra: dict[str, Any] = {"json": body} if shape.method == "POST" else {"params": body}
        headers = {"Host": f"[{host}]{port}" if ":" in host else host + port, "Accept-Encoding": "identity"}
        extensions = {"sni_hostname": host} if parts.scheme == "https" else {}
        try:
            return await self._exchange(shape.method, url, headers=headers, extensions=extensions, **extra)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise ToolError(
                f"{name}: {clean_url(base)} cannot be asked: {show(why, 200)}.", "Is the server up?"
            ) from error

    async def _exchange(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        client = self._client or httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None)  # noqa: S113 - `call` limits the whole
        try:
            async with client.stream(method, url, **more) as answer:
                body = b""
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise ToolError(f"The answer is over {MAX_ANSWER:,} bytes.", "Send shorter texts.")
                return answer.status_code, body
        finally:
            if self._client is None:
                await client.aclose()

    async def _checked(self, name: str, base: str) -> str:
        """Resolve the host once, check every address, and give the one to connect to."""
        try:
            parts = urlsplit(base)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise ToolError(f"{name}: its address cannot be read.", "Mend its base_url.") from error
        if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
            raise ToolError(f"{name}: {clean_url(base)} is no plain http or https address.", "Mend its base_url.")
        configured = bool(self._servers.get(name, {}).get("base_url"))
        found = await _resolve(name, host, port)
        for address in found:
            why = forbidden(address, configured=configured)
            if why:
                hint = f"Configure its base_url under tools: {name} in config.yaml where that is meant."
                raise ToolError(f"{name}: the address {address} of {show(host, 60)} {why}.", hint)
        return found[0]


def _without(words: str, key: str) -> str:
    """Take the key out of a server's words, should it say it back."""
    return words.replace(key, HIDDEN) if key else words


async def _resolve(name: str, host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ToolError(f"{name}: the host {show(host, 60)} has no address.", "Mend its base_url.") from error
    rows.sort(key=lambda row: row[0] != socket.AF_INET)
    return [str(row[4][0]) for row in rows]


def _hint(manifest: Manifest) -> str:
    if manifest.name == "nmt_translator":
        return "Set CODE_EVOLVER_NMT_URL to a LibreTranslate or EasyNMT server."
    return f"Give its base_url under tools: {manifest.name} in config.yaml."


def servers(environment: Mapping[str, str], tools: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
    """Read the servers from the `tools` section of config.yaml and CODE_EVOLVER_NMT_URL, CODE_EVOLVER_NMT_API_KEY.

    A tool's row is {"base_url", "api_key_env"}. Raises ConfigurationError.
    """
    found: dict[str, dict[str, str]] = {}
    for name, row in (tools or {}).items():
        if (
            not isinstance(row, Mapping)
            or set(row) - {"base_url", "api_key_env"}
            or not all(map(_is_text, row.values()))
        ):
            raise ConfigurationError(
                f"config.yaml: tools.{name} has not the form it must have.", "Give base_url, api_key_env."
            )
        found[name] = {"base_url": row.get("base_url", ""), "api_key": environment.get(row.get("api_key_env", ""), "")}
    url, key = environment.get("CODE_EVOLVER_NMT_URL", ""), environment.get("CODE_EVOLVER_NMT_API_KEY", "")
    translator = found.setdefault("nmt_translator", {"base_url": "", "api_key": ""})
    translator.update({name: value for name, value in (("base_url", url), ("api_key", key)) if value})
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)
