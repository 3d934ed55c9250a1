"""Plain English in, settings or a whole run out. Rules first; a model is asked only where they did not understand."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_evolver import early
from code_evolver.assembly import manifests_of, models_of
from code_evolver.configuration import load
from code_evolver.core.english.answers import check_answer
from code_evolver.core.english.reading import Reading, read
from code_evolver.core.errors import InputError, ModelError
from code_evolver.core.settings import defaults_differ, from_flags, from_json, resolve
from code_evolver.core.strict_json import show
from code_evolver.edges import stdio
from code_evolver.edges.workspace import Workspace
from code_evolver.executables import signalr_hub_connector
from code_evolver.help_text import USAGES, helped
from code_evolver.prompting import english_ask
from code_evolver.stopping import leave_at_once

USAGE = USAGES["connect_signalr"]
ALWAYS = ("hub_url", "hub_name", "duration_seconds", "auto_generate_workflows", "output_file")


@dataclass(frozen=True, slots=True)
class Understood:
    """What a request means."""

    settings: Mapping[str, Any]
    said: frozenset[str]
    """Settings that the words name; the others are defaults, which the environment or config.yaml may change."""
    parsed_by: str
    notes: tuple[str, ...]


def understand(request: str, workspace: str | None = None) -> Understood:
    """Read a request by rules, and ask the workspace's model where they are not sure. Raises InputError that quotes the words."""
    reading = read(request)
    if not reading.unsure:
        return Understood(reading.settings, reading.said, "rules", reading.notes)
    answer = asyncio.run(_ask_model(request, workspace))
    if answer is None:
        first = reading.unsure[0]
        raise InputError(f"{show(first.words)} was not understood: {first.why}", first.hint, code="not_understood")
    checked = check_answer(request, answer)
    notes = (*reading.notes, *_doubts(reading))
    return Understood({**reading.settings, **checked}, reading.said | checked.keys(), "llm", notes)


def _without_workflows(found: Understood) -> list[str]:
    if found.settings["auto_generate_workflows"] or "auto_generate_workflows" in found.said:
        return []
    return [
        "No workflows were asked for: tasks are received and stay pending. Say `and generate workflows` to have them."
    ]


def _doubts(reading: Reading) -> list[str]:
    return [
        f"The rules were not sure of {show(doubt.words)}: {doubt.why} A model read it; check the settings."
        for doubt in reading.unsure
    ]


async def _ask_model(request: str, workspace: str | None) -> dict[str, Any] | None:
    """Give a model's reading, or None where no model answers."""
    resolved = load(from_flags({"workspace": workspace}))
    models = await models_of(resolved, _quiet)
    try:
        if not models.configured:
            return None
        manifests = manifests_of(Workspace.at(Path(resolved.settings.workspace)))
        reply = await models.ask(english_ask(manifests, request))
    except ModelError:
        return None
    finally:
        await models.close()
    return reply.data if isinstance(reply.data, dict) else None


def _quiet(_name: str, **_fields: Any) -> None:
    """Reading a request is not part of a run: it has no events."""


def config_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give what --dry-run prints: five settings always, others where they differ from their default."""
    resolved = resolve(from_json({key: value for key, value in settings.items() if value is not None})).settings
    return {**{key: settings.get(key, getattr(resolved, key)) for key in ALWAYS}, **{
        key: value for key, value in defaults_differ(resolved).items() if key not in ALWAYS}}  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Serve the tool once."""
    arguments = sys.argv[1:] if argv is None else argv
    if helped("connect_signalr", arguments):
        return
    options = _options(arguments)

    def run(_: None) -> stdio.Result:
        try:
            with early.interrupting():
                given = stdio.read_text_input(USAGE)
                if options is None:
                    raise InputError(f"The arguments {arguments} are not understood.", USAGE.splitlines()[0])
                found = understand(given["request"], options["workspace"])
        except KeyboardInterrupt:
            if options is None or options["dry_run"]:
                raise
            return signalr_hub_connector.nothing_received()
        config = config_of(found.settings)
        reading = {"config": config, "parsed_by": found.parsed_by, "notes": [*found.notes, *_without_workflows(found)]}
        if options["dry_run"]:
            return reading
        chosen = {key: value for key, value in config.items() if value is not None or key in found.said}
        if options["workspace"]:
            chosen["workspace"] = options["workspace"]
        finished = signalr_hub_connector.run(chosen)
        return stdio.Finished({**finished.document, **reading}, finished.exit_code)

    leave_at_once(stdio.serve(run, usage=USAGE, read=lambda _: None))


def _options(arguments: list[str]) -> dict[str, Any] | None:
    """Read --dry-run and --workspace DIR; None for anything else."""
    found: dict[str, Any] = {"dry_run": False, "workspace": None}
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--dry-run":
            found["dry_run"] = True
        elif word == "--workspace" and left:
            found["workspace"] = left.pop(0)
        elif word.startswith("--workspace="):
            found["workspace"] = word.partition("=")[2]
        else:
            return None
    return found


if __name__ == "__main__":
    main()
