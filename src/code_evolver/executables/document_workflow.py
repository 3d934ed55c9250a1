"""A README for a node: facts from its code and record, prose by a model where there is one."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from code_evolver.assembly import manifests_of, models_of, node_store
from code_evolver.configuration import load, workspace_flag
from code_evolver.core.document import readme
from code_evolver.core.errors import InputError
from code_evolver.core.settings import Layer
from code_evolver.core.strict_json import kind, show
from code_evolver.edges import stdio
from code_evolver.edges.workspace import Workspace
from code_evolver.help_text import USAGES, helped
from code_evolver.prose import Prose, prose_of

USAGE = USAGES["document_workflow"]


def run(given: Mapping[str, Any]) -> dict[str, Any]:
    """Write the README. Raises InputError, StoreError."""
    unknown = sorted(set(given) - {"node", "output", "workspace"})
    if unknown:
        raise InputError(f"The request has an unknown key {show(unknown[0])}.", 'Keys: "node", "output", "workspace".')
    for key in ("node", "output", "workspace"):
        if not isinstance(given.get(key, ""), str):
            raise InputError(f"{key} must be text, but is {kind(given[key])}.", USAGE.splitlines()[2])
    if not given.get("node"):
        raise InputError("node is missing.", 'Send {"node": "summarize_blog_post"}.')
    workspace, name = _find({**given, **workspace_flag(sys.argv[1:])})
    store = node_store(workspace)
    code, record = store.code(store.asked_for(name)), store.record(name)
    prose = asyncio.run(_prose(workspace, code, record))
    text = readme(name, code, record, prose.text, prose.model).encode("utf-8")
    by = "model" if prose.text else "none"
    if "output" not in given:
        store.replace(name, "README.md", text)
        return {"node": name, "path": f"nodes/{name}/README.md", "prose": by}
    target = Path(given["output"])
    try:
        target.write_bytes(text)
    except OSError as error:
        raise InputError(
            f"{show(target)} cannot be written: {error.strerror}.", "Name a file in a folder that is there."
        ) from error
    return {"node": name, "path": str(target), "prose": by}


async def _prose(workspace: Workspace, code: bytes, record: Mapping[str, Any]) -> Prose:
    resolved = load(Layer({"workspace": str(workspace.root)}, {}))
    models = await models_of(resolved, lambda _name, **_fields: None)
    try:
        return await prose_of(models, manifests_of(workspace), code, record)
    finally:
        await models.close()


def _find(given: Mapping[str, Any]) -> tuple[Workspace, str]:
    words = given["node"].replace("\\", "/").rstrip("/").removesuffix("/main.py")
    folder, _, name = words.rpartition("/")
    layer = Layer({"workspace": given["workspace"]}, {}) if given.get("workspace") else Layer({}, {})
    root = Path(load(layer).settings.workspace)
    if folder and Path(folder).name == "nodes":
        root = Path(folder).parent
    return Workspace.at(root), name


def main() -> None:
    """Serve the tool once."""
    if helped("document_workflow"):
        return
    sys.exit(stdio.serve(run, usage=USAGE))


if __name__ == "__main__":
    main()
