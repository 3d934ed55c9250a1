"""What the work has cost and what reuse has saved: rows, totals, a table's cells, a plot. Pure.

A day is an object with day (counted from 1970, UTC), type, outcome, tasks, tokens_in, tokens_out, llm_seconds, llm_calls,
repairs: edges.queue_sqlite.Day.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

_SUMS = ("tasks", "generated", "reused", "failed", "calls", "tokens_in", "tokens_out", "seconds", "repairs")
_COLOURS = {"reused": "#2a9d8f", "generated": "#e9a23b", "failed": "#c8453b"}


def rows(days: Iterable[Any]) -> list[dict[str, Any]]:
    """Give a row a day and type: {"day": "2026-01-31", "type", sums…, "reuse_rate"}, in order."""
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for one in days:
        row = found.setdefault((one.day, one.type), dict.fromkeys(_SUMS, 0))
        _add(row, one)
    return [{"day": date(day), "type": kind, **_rated(row)} for (day, kind), row in sorted(found.items())]


def totals(days: Iterable[Any]) -> dict[str, Any]:
    """Give the sums over all days."""
    row: dict[str, Any] = dict.fromkeys(_SUMS, 0)
    for one in days:
        _add(row, one)
    return _rated(row)


def _add(row: dict[str, Any], one: Any) -> None:
    row["tasks"] += one.tasks
    if one.outcome in row:
        row[one.outcome] += one.tasks
    row["calls"] += int(one.llm_calls)
    row["tokens_in"] += int(one.tokens_in)
    row["tokens_out"] += int(one.tokens_out)
    row["seconds"] += one.llm_seconds
    row["repairs"] += int(one.repairs)


def _rated(row: dict[str, Any]) -> dict[str, Any]:
    done = row["generated"] + row["reused"]
    return {**row, "seconds": round(row["seconds"], 3), "reuse_rate": round(row["reused"] / done, 4) if done else None}


def date(day: int) -> str:
    """Give a day as text."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y-%m-%d")


def saved(*, fresh: int, without: int, calls: float, tokens: float, seconds: float) -> dict[str, Any]:
    """Say what `without` tasks, reused or copied, would have cost at the price of the `fresh` ones, which were generated."""
    share = without / fresh if fresh else 0.0
    return {"tasks": without, "of": fresh + without, "calls": round(calls * share), "tokens": round(tokens * share),
            "seconds": round(seconds * share, 1)}  # fmt: skip


def saved_line(found: Mapping[str, Any]) -> str:
    """Tell it in one line; "" where nothing was done."""
    if not found.get("of"):
        return ""
    said = f"{found['tasks']} of {found['of']} tasks needed no new program"
    if found["calls"]:
        said += (
            f": about {found['calls']:,} model calls, {found['tokens']:,} tokens and {found['seconds']:,.0f} s saved"
        )
    return said


def cells(found: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Give the table's rows."""
    return [
        (row["day"], row["type"], row["tasks"], row["generated"], row["reused"], row["failed"], _percent(row["reuse_rate"]),
         row["calls"], row["tokens_in"] + row["tokens_out"], f"{row['seconds']:.1f}", row["repairs"])
        for row in found
    ]  # fmt: skip


HEADS = ("day", "type", "tasks", "generated", "reused", "failed", "reuse", "calls", "tokens", "seconds", "repairs")


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate * 100:.1f} %"


def plot(found: Sequence[Mapping[str, Any]], most_days: int = 60) -> str:
    """Draw tasks a day by outcome (bars) and model calls a task (line) as an SVG."""
    days = sorted({row["day"] for row in found})[-most_days:]
    sums = {day: {key: sum(row[key] for row in found if row["day"] == day) for key in _SUMS} for day in days}
    highest = max((sums[day]["tasks"] for day in days), default=0) or 1
    step = 720 / max(1, len(days))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 340" font-family="sans-serif" font-size="11">',
        '<rect width="820" height="340" fill="white"/>',
        '<text x="60" y="20" font-size="14">Tasks a day, and model calls a task</text>',
        f'<text x="52" y="44" text-anchor="end">{highest:,}</text><text x="52" y="284" text-anchor="end">0</text>',
        '<path d="M60 40V280H780" fill="none" stroke="#444"/>',
    ]
    for number, day in enumerate(days):
        parts += _bar(sums[day], 60 + number * step, step, 240 / highest)
    parts += _line([(sums[day]["calls"] / (sums[day]["tasks"] or 1)) for day in days], step)
    for number in range(0, len(days), max(1, len(days) // 6)):
        parts.append(
            f'<text x="{60 + (number + 0.5) * step:.1f}" y="296" text-anchor="middle">{escape(days[number])}</text>'
        )
    for number, (name, colour) in enumerate({**_COLOURS, "model calls a task": "#264653"}.items()):
        x = 60 + number * 130
        parts.append(
            f'<rect x="{x}" y="310" width="12" height="12" fill="{colour}"/><text x="{x + 18}" y="320">{name}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(sums: Mapping[str, float], x: float, step: float, scale: float) -> list[str]:
    parts, floor = [], 280.0
    for name, colour in _COLOURS.items():
        height = sums[name] * scale
        floor -= height
        if height:
            parts.append(f'<rect x="{x + step * 0.1:.1f}" y="{floor:.1f}" width="{step * 0.8:.1f}" height="{height:.1f}" '
                         f'fill="{colour}"><title>{name}: {sums[name]:,}</title></rect>')  # fmt: skip
    return parts


def _line(values: Sequence[float], step: float) -> list[str]:
    highest = max(values, default=0.0)
    if not highest:
        return []
    points = " ".join(
        f"{60 + (at + 0.5) * step:.1f},{280 - 240 * value / highest:.1f}" for at, value in enumerate(values)
    )
    return [f'<polyline points="{points}" fill="none" stroke="#264653" stroke-width="2"/>',
            f'<text x="784" y="44">{highest:.2f}</text>']  # fmt: skip
