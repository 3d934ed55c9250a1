"""`code-evolver run` and start_signalr_training.py: the launcher with its flags."""

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from code_evolver import __version__
from code_evolver.cli import in_utf8
from code_evolver.core.errors import CodeEvolverError, InputError, failure
from code_evolver.core.render import Lines, summary
from code_evolver.core.setting_kinds import as_json
from code_evolver.core.settings import flags, from_flags
from code_evolver.launcher import PATIENCE_WITH_READERS, Launcher, View, connector_command, exit_code, how_it_ended

_DESCRIPTION = "Listen to an ASP.NET Core SignalR hub and turn its LLM tasks into proven Python workflows."
_EPILOG = "Try it without a hub and without a model: start_signalr_training.py --demo"


def main(argv: Sequence[str]) -> int:
    """Run the launcher; give the exit code."""
    parsed = _parser().parse_args(in_utf8(argv))
    try:
        given = from_flags({flag.setting: getattr(parsed, flag.setting) for flag in flags()})
        if parsed.show_config:
            return _show_config(given, as_json_document=parsed.json)
        return _run(parsed, {name: as_json(value) for name, value in given.values.items()})
    except CodeEvolverError as error:
        return _failed(error, as_json_document=parsed.json or not sys.stdout.isatty())


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="start_signalr_training.py", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False
    )
    made.add_argument(
        "--demo", action="store_true", help="run by itself: embedded hub, example tasks, temporary workspace"
    )
    made.add_argument("--json", action="store_true", help="print one JSON result on stdout, on a terminal too")
    made.add_argument(
        "--log-format", choices=("human", "json"), default="human", help="json: pass the events through on stderr"
    )
    made.add_argument("--show-config", action="store_true", help="print each setting and where it came from, and end")
    made.add_argument("--version", action="version", version=f"code-evolver {__version__}")
    for flag in flags():
        help_text = flag.help.replace("%", "%%")
        if flag.switch:
            made.add_argument(
                flag.name, dest=flag.setting, action=argparse.BooleanOptionalAction, default=None, help=help_text
            )
        else:
            made.add_argument(flag.name, dest=flag.setting, metavar=flag.metavar, default=None, help=help_text)
    return made


def _show_config(given: Any, *, as_json_document: bool) -> int:
    from code_evolver.configuration import load  # reads files: only where it is asked for, --help stays light
    from code_evolver.core.settings import show_config

    rows = show_config(load(given))
    if as_json_document:
        sys.stdout.write(json.dumps({"success": True, "config": rows}, ensure_ascii=False) + "\n")
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        value = json.dumps(row["value"], ensure_ascii=False)
        sys.stdout.write(f"{row['name']:<{width}}  {value} {row['unit']}  ({row['origin']})\n")
    return 0


def _failed(error: CodeEvolverError, *, as_json_document: bool) -> int:
    if as_json_document:
        sys.stdout.write(json.dumps(failure(error), ensure_ascii=False) + "\n")
    sys.stderr.write(f"Error: {error.message}\n{error.hint}\n")
    return error.exit_code


def _run(parsed: argparse.Namespace, settings: dict[str, Any]) -> int:
    with ExitStack() as stack:
        expected = None
        if parsed.demo:
            settings, expected = stack.enter_context(_demo(settings))
        human = parsed.log_format == "human"
        launcher = Launcher(
            command=connector_command(),
            settings=settings,
            view=_view(expected) if human else Lines(lambda _line: None),
            passed_on=None if human else sys.stderr,
            finished=lambda tally: expected is not None and tally.generated + tally.reused + tally.failed >= expected,
        )
        ended = launcher.run()
    return _tell(parsed, ended, settings)


def _view(expected: int | None) -> View:
    if not sys.stderr.isatty():
        return Lines(_write_line)
    from rich.console import Console  # on a terminal only: it costs 60 ms and 9 MB that a pipe has no use for

    from code_evolver.live import LiveView

    return LiveView(Console(stderr=True), expected)


def _write_line(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # nobody reads it any more (`| head -1`): the work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _tell(parsed: argparse.Namespace, ended: Any, settings: dict[str, Any]) -> int:
    result = how_it_ended(ended)
    workspace = os.path.abspath(settings.get("workspace", "."))  # noqa: PTH100 - shown only, links kept as the user named them
    try:
        if parsed.json or not sys.stdout.isatty():
            sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(summary(result, ended.code, workspace))
        sys.stdout.flush()
    except OSError:  # nobody reads it (`| true`), or the terminal was closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    words = ""
    if parsed.log_format == "human" and not (sys.stdout.isatty() and not parsed.json):
        words += summary(result, ended.code, workspace)
    if parsed.demo and ended.code == 0 and parsed.log_format == "human":
        words += _next_step(result, workspace)
    if not (ended.seen and _was_read(words)):  # a thread hangs in a write to stderr, where Python's own end would too
        os._exit(exit_code(ended))
    return exit_code(ended)


def _was_read(words: str) -> bool:
    """Write last words to stderr; False where whoever should read them stands still, and a thread of ours with it."""
    writing = threading.Thread(target=_write_line, args=(words,), daemon=True)
    writing.start()
    writing.join(PATIENCE_WITH_READERS)
    return not writing.is_alive()


def _next_step(result: dict[str, Any], workspace: str) -> str:
    node = next((task["node"] for task in result.get("tasks", ()) if task.get("node")), None)
    if node is None:
        return ""
    path = os.path.join(workspace, "nodes", node, "main.py")  # noqa: PTH118 - a text to copy
    return (
        f"\nTry next (stub tools, so no model is needed):\n"
        f'  code-evolver nodes try {node} --stub --workspace "{workspace}"\n'
        f'With a model configured: echo \'{{"content": "…"}}\' | python "{path}"\n'
    )


@contextmanager
def _demo(settings: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Start the embedded hub beside us; give the settings that lead to it and the number of its tasks."""
    from code_evolver.demo_process import demo_hub  # starts a process: only where --demo is asked for

    if settings.get("hub_url"):
        raise InputError(
            "--demo and --hub-url exclude each other: the demo brings its own hub.", "Leave one of them out."
        )
    workspace = settings.get("workspace") or tempfile.mkdtemp(prefix="code-evolver-demo-")
    with demo_hub() as (url, count):
        yield {
            "llm": "off", **settings, "workspace": workspace, "hub_url": url, "report_method": "TaskFinished",
        }, count  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
