"""`code-evolver nodes`: list, show, prove again, try, rate."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from code_evolver.assembly import failures_of, node_store, proof_kit
from code_evolver.cli import parser
from code_evolver.commands.output import Printed, answer, table, workspace_of
from code_evolver.core.errors import CodeEvolverError, InputError, NodeError
from code_evolver.core.gate import tools_of
from code_evolver.core.record import one_line
from code_evolver.core.registry import source_hash, write_record
from code_evolver.core.strict_json import escape, show
from code_evolver.core.task_types import known
from code_evolver.edges.node_index import NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.edges.workspace import Workspace
from code_evolver.proof import prove, still_valid
from code_evolver.shelf import reconcile


def main(argv: Sequence[str]) -> int:
    """Run the sub-command."""
    made = parser("nodes", "The proven workflows of a workspace.")
    made.add_argument("action", choices=("list", "show", "verify", "try", "rate"))
    made.add_argument("words", nargs="*", metavar="NAME", help="a node; for rate: NAME good|bad")
    made.add_argument("--all", action="store_true", help="verify: every node")
    made.add_argument("--stub", action="store_true", help="try: stub tools answer, no model is needed")
    made.add_argument("--note", default="", help="rate: why, in a few words")
    made.add_argument("--limit", type=int, default=100)
    made.add_argument("--offset", type=int, default=0)
    made.add_argument("--type", default="", help="list: only this task type")
    parsed = made.parse_args(list(argv))

    def work() -> Printed:
        workspace = workspace_of(parsed.workspace)
        return _ACTIONS[parsed.action](workspace, parsed)

    return answer(work, as_json=parsed.json)


def _one(words: Sequence[str], count: int = 1) -> list[str]:
    if len(words) != count:
        raise InputError(f"{count} name was wanted, {len(words)} given." if count == 1 else "NAME and good or bad were wanted.",
                         "`code-evolver nodes list` shows the names.")  # fmt: skip
    return list(words)


def _index(workspace: Workspace) -> NodeIndex:
    index = NodeIndex(workspace.index, workspace.registry)
    reconcile(node_store(workspace), index, _complain)
    return index


def _complain(text: str) -> None:
    sys.stderr.write(f"{escape(text)}\n")


def _list(workspace: Workspace, parsed: Any) -> Printed:
    index = _index(workspace)
    page = index.page(parsed.offset, parsed.limit, parsed.type)
    failed = failures_of(workspace).counts()
    rows = [(name, shown["task_type"], shown["generator"], shown["isolation"], shown["rating"] or "-", failed.get(name, 0),
             shown["title"]) for name, shown in page]  # fmt: skip
    text = table(("name", "type", "made by", "isolation", "rating", "failures", "title"), rows, empty="No nodes yet.")
    shown_all = [{"name": name, **shown, "failures": failed.get(name, 0)} for name, shown in page]
    return {"nodes": shown_all, "total": len(index)}, text


def _show(workspace: Workspace, parsed: Any) -> Printed:
    store = node_store(workspace)
    name = store.asked_for(*_one(parsed.words))
    record = store.record(name)
    unchanged = source_hash(store.code(name)) == record["sha256"]
    failed = failures_of(workspace).counts().get(name, 0)
    text = (
        f"{json.dumps(record, ensure_ascii=False, indent=2)}\n\nmain.py is {'as proven' if unchanged else 'NOT what was proven'}.\n"
        f"Failures in use: {failed}\n"
    )
    return {"node": record, "unchanged": unchanged, "failures": failed}, "\n".join(
        escape(line) for line in text.split("\n")
    )


def _verify(workspace: Workspace, parsed: Any) -> Printed:
    store = node_store(workspace)
    names = sorted(store.names()) if parsed.all else [store.asked_for(*_one(parsed.words))]
    kit = proof_kit(workspace.root)
    index = _index(workspace)
    rows = [_verified(store, index, name, kit) for name in names]
    bad = sum(row["verdict"] in ("failed", "damaged") for row in rows)
    text = table(
        ("name", "verdict", "why"), [(row["name"], row["verdict"], row["why"]) for row in rows], empty="No nodes yet."
    )
    return {"nodes": rows, "failed": bad, "exit_code": 1 if bad else 0}, text


def _verified(store: NodeStore, index: NodeIndex, name: str, kit: Any) -> dict[str, str]:
    """Prove one node again, and write what came of it into its record: drifted ones pass or fail, never silently."""
    trials, tools, versions = kit
    try:
        code, record = store.code(name), store.record(name)
    except CodeEvolverError as error:
        return {"name": name, "verdict": "damaged", "why": error.message}
    drifted = "" if still_valid(record, code, versions) else "program, runtime, manifests or judge had changed"
    proof = prove(trials, code, known(record["task_type"]), record.get("sample", {}), tools=tools, versions=versions,
                  task_type=record["task_type"])  # fmt: skip
    if proof.broken:
        return {"name": name, "verdict": "failed", "why": proof.broken}
    if proof.findings:
        return {"name": name, "verdict": "failed", "why": f"{proof.findings[0].rule}: {proof.findings[0].message}"}
    fresh = {**_authored(record, code), "tools": list(tools_of(code)), "proof": dict(proof.record),
             "isolation": dict(proof.level), "runtime_sha256": versions["runtime"]}  # fmt: skip
    if fresh != record:
        store.replace(name, "node.json", write_record(fresh))
        index.register([fresh])
    return {"name": name, "verdict": "proven again" if drifted else "ok", "why": drifted}


def _authored(record: dict[str, Any], code: bytes) -> dict[str, Any]:
    """Give the record of this very program: one that was changed is nobody's but the hand that changed it."""
    sha256 = source_hash(code)
    if sha256 == record["sha256"]:
        return record
    kept = {key: value for key, value in record.items() if key != "drafts"}
    # What a person wrote in may be a task's text: it leaves this workspace in no training set.
    return {**kept, "sha256": sha256, "generator": {"kind": "hand"}, "quotes_task": True}


def _try(workspace: Workspace, parsed: Any) -> Printed:
    """Run a node on its sample as a person would: in a process of its own, sealed as always."""
    store = node_store(workspace)
    name = store.asked_for(*_one(parsed.words))
    record = store.record(name)
    environment = {**os.environ, **({"CODE_EVOLVER_STUB_TOOLS": "1"} if parsed.stub else {})}
    command = [sys.executable, str(store.path(name) / "main.py")]
    sample = json.dumps(record["sample"], ensure_ascii=False)
    done = subprocess.run(
        command, input=sample.encode(), stdout=subprocess.PIPE, env=environment, check=False, cwd=workspace.root
    )
    try:
        printed = json.loads(done.stdout)
    except ValueError as error:
        raise NodeError(
            f"The node {show(name)} printed no JSON document.", "`code-evolver nodes verify` tells more."
        ) from error
    text = json.dumps(printed, ensure_ascii=False, indent=2) + "\n"
    return {"node": name, "input": record["sample"], "output": printed, "exit_code": done.returncode}, text


def _rate(workspace: Workspace, parsed: Any) -> Printed:
    name, rating = _one(parsed.words, 2)
    if rating not in ("good", "bad"):
        raise InputError(f"A rating is good or bad, not {show(rating)}.", "code-evolver nodes rate NAME good")
    store = node_store(workspace)
    rated = {**store.record(store.asked_for(name)), "rating": rating, "rating_note": one_line(parsed.note)}
    store.replace(name, "node.json", write_record(rated))
    index = _index(workspace)
    index.register([rated])
    index.close()
    said = (
        "It is no example any more. At the next task of its kind another program is tried; where none other results "
        "(without a model the composer writes the same one), it goes on serving."
        if rating == "bad"
        else "Noted."
    )
    return {"node": name, "rating": rating, "note": rated["rating_note"]}, said + "\n"


_ACTIONS = {"list": _list, "show": _show, "verify": _verify, "try": _try, "rate": _rate}
