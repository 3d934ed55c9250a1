"""How sub-commands print: a table for a person, one JSON document for a program, errors the same everywhere."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from code_evolver.configuration import load
from code_evolver.core.errors import CodeEvolverError, InputError, failure
from code_evolver.core.settings import from_flags
from code_evolver.core.strict_json import escape
from code_evolver.edges.workspace import Workspace

Printed = tuple[Mapping[str, Any], str]
"""(document for --json, text for a person)."""


def workspace_of(given: str | None) -> Workspace:
    """Give the workspace of a command: the flag, the environment, config.yaml, the current folder."""
    return Workspace.at(Path(load(from_flags({"workspace": given})).settings.workspace))


def answer(work: Callable[[], Printed], *, as_json: bool) -> int:
    """Do a command's work and print what came of it; give the exit code."""
    try:
        document, text = work()
    except CodeEvolverError as error:
        if as_json:
            write(escape(json.dumps(failure(error), ensure_ascii=False)) + "\n")
        else:
            sys.stderr.write(f"Error: {escape(error.message)}\n{escape(error.hint)}\n")
        return error.exit_code
    write(escape(json.dumps({"success": True, **document}, ensure_ascii=False)) + "\n" if as_json else text)
    code: int = document.get("exit_code", 0)
    return code


def write(text: str) -> None:
    """Write to stdout as UTF-8; a reader that is gone is no error."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def tell(notices: Iterable[str]) -> None:
    """Say on stderr what opening the queue found: no later start tells it again."""
    for notice in notices:
        sys.stderr.write(f"Notice: {escape(notice)}\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> str:
    """Give a plain table; foreign text escaped and cut at 60 characters."""
    if not rows:
        return empty + "\n"
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(head), *(len(row[at]) for row in cells)) for at, head in enumerate(heads)]
    lines = [
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(heads), *cells]
    ]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    text = escape(str(value)).replace("\n", " ")
    return text if len(text) <= 60 else text[:59] + "…"


def save_text(path: Path, text: str) -> None:
    """Write a file that a person asked for, in place of what was there. Raises InputError."""
    save_lines(path, [text])


def save_lines(path: Path, lines: Iterable[str]) -> int:
    """Write pieces as they come to a new file, which then takes the place of `path`; give how many. Raises InputError."""
    fresh, count = path.with_name(f".{path.name}.new"), 0
    try:
        with fresh.open("w", encoding="utf-8", newline="\n") as stream:
            for count, line in enumerate(lines, 1):  # noqa: B007 - the count is wanted
                stream.write(line)
        fresh.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.", "Name another file.") from error
    return count
