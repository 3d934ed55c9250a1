"""`code-evolver check`: look whether everything is in place; each line says what mends it. Its JSON is safe to paste."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from code_evolver.assembly import hub_settings, manifests_of, models_of
from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer
from code_evolver.configuration import load
from code_evolver.core.errors import CodeEvolverError
from code_evolver.core.hub_address import public_url
from code_evolver.core.redact import Redactor
from code_evolver.core.settings import Resolved, from_flags
from code_evolver.edges.hub import negotiate, token
from code_evolver.edges.trial import ChildTrials
from code_evolver.edges.workspace import Workspace, holder
from code_evolver.secrets_of import secrets_of

Row = tuple[str, str, str, str]
"""(what, ok | warning | failed, what was found, what mends it)."""


def main(argv: Sequence[str]) -> int:
    """Run the sub-command; exit code 1 when a line failed."""
    made = parser("check", "Look whether everything is in place, and say what mends it.")
    made.add_argument("--hub-url", default=None)
    made.add_argument("--access-token-file", default=None)
    made.add_argument("--llm", default=None)
    parsed = made.parse_args(list(argv))
    given = {
        "workspace": parsed.workspace,
        "hub_url": parsed.hub_url,
        "access_token_file": parsed.access_token_file,
        "llm": parsed.llm,
    }

    def work() -> Printed:
        rows = asyncio.run(_rows(given))
        failed = any(status == "failed" for _, status, _, _ in rows)
        text = "".join(
            f"{status:<8} {what:<16} {found}{chr(10) + ' ' * 26 + mend if mend and status != 'ok' else ''}\n"
            for what, status, found, mend in rows
        )
        checks = [{"check": what, "status": status, "found": found, "mend": mend} for what, status, found, mend in rows]
        return {"success": not failed, "checks": checks, "ok": not failed, "exit_code": 1 if failed else 0}, text

    return answer(work, as_json=parsed.json)


async def _rows(given: dict[str, str | None]) -> list[Row]:
    try:
        resolved = load(from_flags(given))
    except CodeEvolverError as error:
        return [_shown(("configuration", "failed", error.message, error.hint), Redactor())]
    clean = Redactor(secrets_of(resolved))
    return [_shown(row, clean) for row in await _looked_at(resolved)]


def _shown(row: Row, clean: Redactor) -> Row:
    """Make a row fit to be pasted into an issue: no secret, no name of the user's home."""
    what, status, found, mend = (clean.clean(text) for text in row)
    home = str(Path.home())
    return (
        (what, status, found.replace(home, "~"), mend.replace(home, "~"))
        if len(home) > 1
        else (what, status, found, mend)
    )


async def _looked_at(resolved: Resolved) -> list[Row]:
    where = Path(resolved.settings.workspace) / "config.yaml"
    rows: list[Row] = [
        ("configuration", "ok", f"{where} is read" if where.is_file() else "no config.yaml: defaults", "")
    ]
    rows += [_guarded("workspace", lambda: _workspace(resolved)), _guarded("tools", lambda: _tools(resolved)),
             _guarded("isolation", _isolation)]  # fmt: skip
    rows += await _hub(resolved)
    rows += await _models(resolved)
    return rows


def _guarded(what: str, look: Callable[[], Row]) -> Row:
    try:
        return look()
    except CodeEvolverError as error:
        return (what, "failed", error.message, error.hint)


def _workspace(resolved: Resolved) -> Row:
    workspace = Workspace.at(Path(resolved.settings.workspace))
    held = holder(workspace)
    if held is not None:
        return (
            "workspace",
            "warning",
            f"{workspace.root} is held by process {held.get('pid', '?')}",
            "That connector works there: stop it first.",
        )
    workspace.prepare()
    return ("workspace", "ok", f"{workspace.root} is writable", "")


def _tools(resolved: Resolved) -> Row:
    manifests = manifests_of(Workspace.at(Path(resolved.settings.workspace)))
    return ("tools", "ok", f"{len(manifests)} manifests", "")


def _isolation() -> Row:
    level, detail = ChildTrials().level()
    if level == "isolated":
        return ("isolation", "ok", f"isolated ({detail})", "")
    return (
        "isolation",
        "warning",
        f"guarded ({detail})",
        "Composed programs run; those of a model only with `isolation: guarded`.",
    )


async def _hub(resolved: Resolved) -> list[Row]:
    settings = resolved.settings
    if not settings.hub_url:
        return [("hub", "warning", "no hub_url is set", "Give --hub-url http://localhost:5000/taskhub.")]
    where = public_url(settings.hub_url)
    wanted = hub_settings(settings)
    try:
        secret = await token.fetch(wanted)
    except CodeEvolverError as error:
        return [("token", "failed", error.message, error.hint)]
    rows: list[Row] = [("token", "ok", "there" if secret else "none needed so far", "")]
    try:
        await negotiate.negotiate(wanted, secret)
    except CodeEvolverError as error:
        return [*rows, ("hub", "failed", error.message, error.hint)]
    return [*rows, ("hub", "ok", f"{where} answers as an ASP.NET Core SignalR hub", "")]


async def _models(resolved: Resolved) -> list[Row]:
    if resolved.settings.llm == "off":
        return [("model", "ok", "off: known task types are composed", "")]
    try:
        models = await models_of(resolved, lambda _name, **_fields: None)
    except CodeEvolverError as error:
        return [("model", "failed", error.message, error.hint)]
    try:
        rows = list(await models.check_backend())
    finally:
        await models.close()
    if resolved.settings.llm == "required" and not models.configured:
        return [(what, "failed", found, mend) for what, _, found, mend in rows]
    return rows
