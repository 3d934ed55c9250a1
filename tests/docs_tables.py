"""The tables of the docs that are made from the code, and a page with them made anew."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from code_evolver.child.runtime import MOST_ATTEMPTS
from code_evolver.cli import COMMANDS
from code_evolver.core import gate_text, journey, lifecycle, session, strict_json, tally, yaml_strict
from code_evolver.core.child_frames import REAL, TRIAL
from code_evolver.core.errors import EXIT_DEAD_LETTERS, EXIT_INTERRUPTED
from code_evolver.core.message import LARGEST_RAW, LARGEST_RECEIPT, LONGEST_REASON, MOST_REFUSALS
from code_evolver.core.naming import LONGEST_NAME
from code_evolver.core.setting_kinds import as_json
from code_evolver.core.setting_table import ROWS
from code_evolver.core.task_types import TASK_TYPES
from code_evolver.edges import stdio, tool_http, tool_process, toolbox
from code_evolver.edges.hub import negotiate, token
from code_evolver.edges.manifests import load_manifests
from code_evolver.edges.queue_sqlite.options import Options
from tests.test_architecture import MAY_IMPORT

ROOT = Path(__file__).resolve().parents[1]


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Give a Markdown table; bars in cells are escaped."""
    lines = [heads, tuple("---" for _ in heads), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def settings_table() -> str:
    """Every setting."""
    rows = []
    for row in ROWS.values():
        value = as_json(row.default)
        flag = (f"`--{row.flag}`" + ("" if row.kind.metavar else f", `--no-{row.flag}`")) if row.flag else "none"
        default = (
            "none" if value in (None, "", [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"
        )
        unit = f" {row.unit}" if row.unit and default != "none" else ""
        choice = f" One of `{row.kind.metavar.replace('|', '`, `')}`." if "|" in row.kind.metavar else ""
        rows.append((f"`{row.name}`", flag, f"`{row.environment}`", default + unit, row.help + choice))
    return table(("setting", "flag", "environment", "default", "meaning"), rows)


def commands_table() -> str:
    """Every sub-command."""
    return table(("command", "for"), [(f"`code-evolver {name}`", text) for name, text in COMMANDS.items()])


def exits_table() -> str:
    """Every exit code."""
    rows = {
        0: "done; also when `--duration` ran out, or one Ctrl+C drained in order",
        1: "unexpected, or a node, a tool or a check that failed",
        2: "bad input or usage",
        3: "configuration, or the workspace is held by another",
        4: "the hub wants another token, or none could be had",
        5: "never connected, refused, or given up",
        6: "`llm: required`, and no model answers at the start",
        EXIT_DEAD_LETTERS: "done, but tasks of this run failed (`--no-count-failures`: 0)",
        EXIT_INTERRUPTED: "stopped at once by a second Ctrl+C",
    }
    return table(("exit code", "means"), [(str(code), text) for code, text in sorted(rows.items())])


def types_table() -> str:
    """Every known task type."""
    rows = []
    for row in TASK_TYPES.values():
        numbers = ", ".join(str(one) for one in row.aliases if isinstance(one, int))
        tools = [
            f"`{name}` {how}" for name, how in ((row.tool, "once"), (row.pair_tool, "once a language pair")) if name
        ]
        text = ", else ".join(f"`{key}`" for key in row.text_from)
        rows.append((f"`{row.name}`", numbers, text, row.languages, ", then ".join(tools), f"`{row.pair_key}`"))
    return table(("type", "as a number", "text from", "languages", "tools", "key in `translations`"), rows)


def tools_table() -> str:
    """Every shipped tool."""
    found = load_manifests([ROOT / "tools"])
    return table(
        ("tool", "type", "does"), [(f"`{name}`", one.type, one.description) for name, one in sorted(found.items())]
    )


def run_limits_table() -> str:
    """What one run of a program may use."""
    named = (("time, without that of tools", "wall"), ("processor time", "cpu"), ("address space", "memory"), ("output", "stdout"),
             ("stderr", "stderr"), ("tool calls", "calls"))  # fmt: skip

    def shown(value: float) -> str:
        return size(int(value)) if value >= 1 << 20 else f"{value:g}"

    units = {"wall": " s", "cpu": " s"}
    rows = [(what, *(shown(getattr(run, name)) + units.get(name, "") for run in (TRIAL, REAL))) for what, name in named]
    return table(("limit", "at the trial", "at a later start"), rows)


def size(count: int) -> str:
    """Write a number of bytes."""
    for unit, worth in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count % worth == 0:
            return f"{count // worth} {unit}"
    return f"{count // 1_000_000} MB" if count % 1_000_000 == 0 else f"{count:,} bytes"


def limits_table() -> str:
    """Limits that a user may meet."""
    kept = Options()
    rows = [
        ("input of a tool on stdin", size(stdio.MAX_INPUT)),
        ("depth of JSON", f"{strict_json.MAX_DEPTH} levels"),
        ("message from the hub", f"{size(ROWS['max_message_bytes'].default)} (`max_message_bytes`)"),
        ("receipt with lists of ids", size(LARGEST_RECEIPT)),
        ("reason in a receipt", f"{LONGEST_REASON} characters"),
        ("bytes kept of an element that was no task", size(LARGEST_RAW)),
        ("elements of one message that are refused one by one", str(MOST_REFUSALS)),
        ("redirects of a negotiation", str(negotiate.REDIRECTS)),
        ("token", size(token.LIMIT)),
        ("time connected that ends a row of failures", f"{session.STABLE:g} s"),
        ("ids remembered", f"{kept.forget_after / 86400:g} days, at most {kept.remember_at_most:,}"),
        ("task without an id recognised", f"{lifecycle.ANONYMOUS_SECONDS / 3600:g} hours"),
        ("ended tasks kept in the queue file", f"{kept.keep_done / 86400:g} days, at most {kept.keep_done_at_most:,}"),
        ("attempts at a task whose trial cannot be held", str(kept.max_failures)),
        ("deaths of the worker over one task", str(lifecycle.MAX_STARTS)),
        ("`tasks` in the result of a run", f"{tally.MOST_TASKS:,}"),
        ("name of a node", f"{LONGEST_NAME} characters"),
        ("program", f"{size(gate_text.MOST_BYTES)}, lines of {gate_text.MOST_LINE:,} characters"),
        ("repairs of a draft, each tier", str(journey.REPAIRS)),
        ("patience with backends that are down (known types)", f"{journey.PATIENCE_SECONDS:g} s"),
        ("manifest or `config.yaml`", f"{size(yaml_strict.MAX_BYTES)}, {yaml_strict.MAX_DEPTH} levels"),
        ("arguments of a tool call", f"{toolbox.MAX_ARGUMENTS:,} characters"),
        ("calls of one list under way at once", str(toolbox.AT_ONCE)),
        ("attempts of `call_tool_resilient`", str(MOST_ATTEMPTS)),
        ("answer of an HTTP tool", size(tool_http.MAX_ANSWER)),
        ("answer of an executable tool", size(tool_process.MAX_ANSWER)),
    ]
    return table(("what", "limit"), rows)


def floors_table() -> str:
    """Which part may import which."""
    rows = [
        (f"`{name}`", ", ".join(f"`{one}`" for one in may) or "nothing of ours") for name, may in MAY_IMPORT.items()
    ]
    return table(("part of `code_evolver`", "may import"), rows)


def modules_table() -> str:
    """Each module with the first line of its docstring."""
    source = ROOT / "src" / "code_evolver"
    rows = []
    for path in sorted(source.rglob("*.py"), key=lambda one: (len(one.relative_to(source).parts) > 1, one)):
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if about:
            rows.append((f"`{path.relative_to(source).as_posix()}`", about.splitlines()[0]))
    return table(("module", "what it is"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings_table, "commands": commands_table, "exits": exits_table, "types": types_table, "tools": tools_table,
    "run-limits": run_limits_table, "limits": limits_table, "floors": floors_table, "modules": modules_table,
}  # fmt: skip
GENERATED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def refreshed(text: str) -> str:
    """Give a page with its tables made anew."""
    return GENERATED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[4]}", text)
