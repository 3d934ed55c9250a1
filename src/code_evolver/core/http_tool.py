"""What an HTTP tool asks and what it reads from the answer; which addresses it may speak to."""

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any

from code_evolver.core.manifest import HttpShape
from code_evolver.core.strict_json import show

_ONE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
OTHER_DIALECT = frozenset({404, 405, 415, 422, 500, 501})
"""What a server answers that is asked in another one's dialect."""


def request_body(shape: HttpShape, values: Mapping[str, str]) -> dict[str, Any]:
    """Fill the request; a key whose value is one placeholder that is empty, missing or omitted is left out."""
    filled = {key: _fill(value, values, shape.omit_values) for key, value in shape.request.items()}
    return {key: value for key, value in filled.items() if value is not None}


def _fill(value: Any, values: Mapping[str, str], omitted: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(one, values, omitted) for key, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, values, omitted) for one in value]
    if not isinstance(value, str):
        return value
    whole = _ONE.fullmatch(value)
    if whole:
        found = values.get(whole.group(1), "")
        return None if found == "" or found in omitted else found
    return _ONE.sub(lambda name: values.get(name.group(1), ""), value)


def answer_text(shape: HttpShape, body: bytes) -> str | None:
    """Find the text at the shape's dotted path; None where the answer is no JSON or has no text there."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for key in shape.response.split("."):
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping) and key in found:
            found = found[key]
        else:
            return None
    return found if isinstance(found, str) else None


def problem(status: int, body: bytes) -> str:
    """Give one sentence of what a server answered instead of a text."""
    try:
        said = json.loads(body)
        found = next((said[key] for key in ("error", "detail", "message") if said.get(key)), "")
    except (ValueError, AttributeError, RecursionError):
        found = ""
    return f"HTTP {status}" + (f": {show(found, 200)}" if found else "")


def forbidden(address: str, *, configured: bool) -> str:
    """Say why a tool may not connect to this IP address; "" where it may.

    `configured`: the user named the server, so that loopback and private networks are meant. Link-local (cloud
    metadata), multicast and unspecified addresses are never meant.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "is no IP address"
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return "is link-local, multicast or unspecified"
    if not configured and not ip.is_global:
        return "is on this machine or in a private network"
    return ""
