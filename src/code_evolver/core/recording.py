"""Recorded hub messages as JSON lines: what came, when, and to which client method. And how two runs of one recording differ."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from code_evolver.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message of a recording."""

    at: float
    """Seconds since 1970."""
    target: str
    arguments: Sequence[Any]
    problem: str = ""
    raw: bytes = b""
    """Only of records that could not be read (problem)."""


def write_line(one: Recorded) -> str:
    """Write a message as one line."""
    row: dict[str, Any] = {"at": round(one.at, 6), "target": one.target, "arguments": list(one.arguments)}
    if one.problem:
        row |= {"problem": one.problem, "raw": base64.b64encode(one.raw).decode("ascii")}
    return json.dumps(row, ensure_ascii=True) + "\n"


def read_line(text: str, number: int) -> Recorded:
    """Read a line as leniently as a hub's own records are read. Raises InputError that names it."""
    try:
        row = json.loads(text)
        at, target, arguments = row["at"], row["target"], row["arguments"]
        raw = base64.b64decode(row.get("raw", ""), validate=True)
        good = isinstance(at, int | float) and isinstance(target, str) and isinstance(arguments, list)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"Line {number} is no recorded message: {error}.", _HINT) from error
    if not good:
        raise InputError(
            f'Line {number} is no recorded message: "at", "target" or "arguments" has another type.', _HINT
        )
    return Recorded(float(at), target, arguments, str(row.get("problem", "")), raw)


_HINT = "Record anew with `code-evolver record --hub-url … --output FILE`."


def drift(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Compare the nodes of two runs (registry.json): names of those that are the same, drifted, gone, or new."""
    both = sorted(before.keys() & after.keys())
    same = [name for name in both if before[name]["sha256"] == after[name]["sha256"]]
    return {
        "same": same,
        "drifted": [name for name in both if name not in set(same)],
        "gone": sorted(before.keys() - after.keys()),
        "new": sorted(after.keys() - before.keys()),
    }
