"""`code-evolver`: the sub-commands for people. Each lives in a module of its own, imported when it is asked for."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from code_evolver import __version__, early
from code_evolver.help_text import helped_with

COMMANDS = {
    "run": "listen to a hub and make workflows of its tasks (= python start_signalr_training.py)",
    "work": "work the queue off, without a hub",
    "tool": "run one tool: JSON or text on stdin, JSON on stdout",
    "status": "what is pending and what became of the rest",
    "dead": "list, show, retry or drop dead letters",
    "nodes": "list, show, verify, try or rate nodes",
    "registry": "make registry.json and the index anew from nodes/",
    "stats": "what models have cost and what reuse saved, by day and type",
    "export": "write proven programs as a fine-tuning set",
    "record": "write what a hub sends to a file, for replay",
    "replay": "run recorded messages through the same road, without a hub",
    "demo-hub": "run the embedded SignalR hub by itself",
    "check": "look whether everything is in place, and say what mends it",
}
"""Name → one line of help. The module is code_evolver.commands.<name, - as _>."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command; give its exit code."""
    arguments = in_utf8(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        sys.stdout.write(f"code-evolver {__version__}\n")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        sys.stderr.write(unknown(name))
        return 2
    if helped_with(name, arguments[1:]):
        return 0
    if name in ("run", "work"):
        early.remember()
    module = importlib.import_module(f"code_evolver.commands.{name.replace('-', '_')}")
    code: int = module.main(arguments[1:])
    return code


def in_utf8(words: Sequence[str]) -> list[str]:
    """Read words of the command line, and print from now on, in UTF-8: also where the locale (LANG=C) is ASCII only."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - closed (`>&-`): for as long as we live
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - the same
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and "utf" not in stream.encoding.lower():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return [word if word.isascii() else os.fsencode(word).decode("utf-8", "surrogateescape") for word in words]


def usage() -> str:
    """Give the help text."""
    rows = "\n".join(f"  {name:<10} {text}" for name, text in COMMANDS.items())
    return f"usage: code-evolver COMMAND [options]\n\nCommands (each has --help):\n{rows}\n"


def unknown(name: str) -> str:
    """Say that there is no such command, and which was probably meant."""
    import difflib  # here, because only a mistake needs it and --help must be fast

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"code-evolver: there is no command {name[:60]!r}.{hint}\n\n{usage()}"


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """Give the argument parser of a sub-command, with what all of them have."""
    made = argparse.ArgumentParser(prog=f"code-evolver {command}", description=description, allow_abbrev=False)
    made.add_argument(
        "--workspace", metavar="DIR", default=None, help="folder with nodes/ and registry.json (default: here)"
    )
    made.add_argument("--json", action="store_true", help="print one JSON document")
    return made


if __name__ == "__main__":
    sys.exit(main())
