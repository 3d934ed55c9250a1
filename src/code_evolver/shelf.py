"""The shelf: where programs are looked up, proven and put, made of nodes/, the index and the proof."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from code_evolver.core.coverage import covers_task
from code_evolver.core.document import readme
from code_evolver.core.errors import StoreError
from code_evolver.core.findings import Finding
from code_evolver.core.gate import tools_of
from code_evolver.core.journey import Generated, Program, Proof, Try
from code_evolver.core.naming import free_name, node_name
from code_evolver.core.record import lesson, make_record, source_digest, source_id
from code_evolver.core.registry import source_hash, write_record
from code_evolver.core.task import Task, node_input
from code_evolver.core.task_types import TaskType
from code_evolver.edges.node_index import Entry, NodeIndex
from code_evolver.edges.nodes import NodeStore
from code_evolver.ports import Emit, Known, Trials
from code_evolver.proof import prove, still_valid

_CACHED = 256
_PIECE = 500
_READERS = 4


class NodeShelf:
    """Implements worker.Shelf."""

    def __init__(
        self,
        nodes: NodeStore,
        index: NodeIndex,
        trials: Trials,
        *,
        tools: frozenset[str],
        versions: Mapping[str, str],
        emit: Emit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts. `versions` are those of runtime and manifests: they are part of each verdict."""
        self._nodes = nodes
        self._index = index
        self._trials = trials
        self._tools = tools
        self._versions = versions
        self._emit = emit
        self._clock = clock
        self._verdicts: OrderedDict[tuple[str, str, str], Proof] = OrderedDict()
        self._names = threading.Lock()
        self._owed: list[dict[str, Any]] = []
        """Records of saved nodes that the index could not take (a full disk)."""
        self._closed = False
        self._settled: set[str] = set()

    def open(self) -> int:
        """Clear what a killed save left, register what it did not, mend registry.json. Give how many were registered."""
        with self._names:
            self._refuse_if_closed()
            return self._open()

    def close(self) -> None:
        """Wait for a save under way, and let none begin: a thread that outlives the run must not touch the workspace."""
        with self._names:
            self._closed = True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError("The run is over: nothing is saved any more.", "Start again, and the queue goes on.")

    def _open(self) -> int:
        self._nodes.clear_staged()
        registered = self.reconcile()
        for notice in self._index.notices:
            self._emit("notice", message=notice)
        mended = self._index.mend_registry()
        if mended and not registered and "missing" not in mended:
            self._emit("notice", message=f"{mended} It was made anew from nodes/.")
        return registered

    def reconcile(self) -> int:
        """Bring the index in line with the folders."""
        return reconcile(self._nodes, self._index, lambda text: self._emit("notice", message=text))

    def catch_up(self) -> None:
        """Bring registry.json up to date where many nodes are saved (call it each second)."""
        self._index.catch_up()

    def known(self, task: Task, keys: tuple[str, str]) -> Known | None:
        """Find a node for the task's node key; its file must still be what was proven. Raises DiskFull, StoreError."""
        if self._owed:
            with self._names:
                self._register_owed()
        mine = self._of_task(task, keys[1])
        found = mine or self._index.newest(keys[1])
        if found is None or not self._intact(found.name, found.sha256):
            return None
        is_bad = found.rating == "bad" and found.name not in self._settled
        return Known(found.name, source=mine is not None, covered=covers_task(found.covers, task), bad=is_bad)

    def _of_task(self, task: Task, node_key: str) -> Entry | None:
        """Find the node that this very task was the source of: its id with other content is another task."""
        found = self._index.of_task(node_key, source_id(task.id))
        if found is None:
            return None
        try:
            mine = self._nodes.record(found.name).get("source_digest") == source_digest(task)
        except StoreError:  # damaged or gone since: then it is made anew
            return None
        return found if mine else None

    def settle(self, name: str) -> None:
        """Go on using a node that people call bad: there was no better program for it; until the next start."""
        self._settled.add(name)

    def learn(self, task: Task, program: str, findings: Sequence[Finding]) -> None:
        """Keep what a model's draft got wrong, for the prompts of later tasks: nothing that this task said."""
        with suppress(StoreError):  # no task fails for it
            self._index.learn(program, task.type, [(found.rule, lesson(found, task)) for found in findings])

    def _intact(self, name: str, sha256: str) -> bool:
        try:
            return source_hash(self._nodes.code(name)) == sha256
        except StoreError:
            return False

    def program(self, program: str) -> Program | None:
        """Find a proven program for a program key; a changed file is passed over."""
        found = self._index.program(program)
        if found is None or not self._intact(found.name, found.sha256):
            return None
        # A copy of unknown origin counts as a model's: that is the stricter reading.
        try:
            generator = self._nodes.record(found.name)["generator"]
        except StoreError:  # damaged since: passed over as well
            return None
        origin = generator.get("origin") if generator.get("kind") == "copy" else generator.get("kind")
        return Program(found.name, self._nodes.code(found.name), str(origin or "model"))

    def prove(self, task: Task, row: TaskType | None, step: Try) -> Proof:
        """Hold the trial, or take the verdict that the same program has for the same shape of task."""
        if step.generator == "copy" and (proof := self._standing(task, step.code)):
            return proof
        key = (source_hash(step.code), task.type, f"{sorted(task.fields)}/{len(task.languages)}/{step.planned}")
        cached = self._verdicts.get(key)
        if cached is not None and covers_task(cached.record["covers"], task):
            return cached
        proof = self._prove(task, row, step.code, step.planned)
        if not proof.findings and not proof.broken:
            self._verdicts[key] = proof
            while len(self._verdicts) > _CACHED:
                self._verdicts.popitem(last=False)
        return proof

    def _prove(self, task: Task, row: TaskType | None, code: bytes, planned: tuple[str, ...] | None) -> Proof:
        return prove(
            self._trials, code, row, node_input(task), tools=self._tools, planned=planned, versions=self._versions,
            task_type=task.type, texts=task.fields if planned is not None else None,
        )  # fmt: skip

    def _standing(self, task: Task, code: bytes) -> Proof | None:
        """Give the proof that stands in the record of a node with this very program, where it covers the task."""
        found = self._index.with_program(source_hash(code))
        if found is None:
            return None
        try:
            record = self._nodes.record(found)
        except StoreError:  # damaged since: then it is proven anew
            return None
        if not still_valid(record, code, self._versions) or not covers_task(record["proof"].get("covers", {}), task):
            return None
        return Proof((), record["proof"], record["isolation"])

    def extend(self, task: Task, row: TaskType | None, name: str) -> bool:
        """Prove a node on the task's own shape; where it passes, its record covers it from now on."""
        code = self._nodes.code(name)
        proof = self._prove(task, row, code, None)
        if proof.findings or proof.broken:
            return False
        try:
            record = self._nodes.record(name)
        except StoreError:  # damaged since: a new node is made
            return False
        record["proof"] = {**proof.record, "covers": _wider(record["proof"].get("covers", {}), proof.record["covers"])}
        record["isolation"] = dict(proof.level)
        with self._names:
            self._refuse_if_closed()
            self._nodes.replace(name, "node.json", write_record(record))
            self._index.register([record])
        return True

    def save(self, task: Task, row: TaskType | None, keys: tuple[str, str], made: Generated) -> tuple[str, str]:
        """Save and register a node under a free name; a second call for the same task gives the same node.

        The path is "" where nothing was saved: the program is that of the present node, which people call bad.
        """
        with self._names:
            self._refuse_if_closed()
            self._register_owed()
            mine = self._of_task(task, keys[1])
            if mine is not None and mine.sha256 == source_hash(made.code):
                return mine.name, f"nodes/{mine.name}/main.py"
            parent = self._index.newest(keys[1])
            if parent is not None and parent.rating == "bad" and parent.sha256 == source_hash(made.code):
                self._settled.add(parent.name)
                return parent.name, ""
            name = free_name(node_name(task), self._nodes.exists)
            record = make_record(
                name, task, row, made, keys=keys, tools=tools_of(made.code), runtime_sha256=self._versions["runtime"],
                now=self._clock(), version=1 + (parent.version if parent else 0), parent=parent.name if parent else "",
            )  # fmt: skip
            self._nodes.save(name, self._files(name, made.code, record))
            self._owed.append(record)
            self._register_owed()
        return name, f"nodes/{name}/main.py"

    def _register_owed(self) -> None:
        """Register what was saved; what the index cannot take now (a full disk) is owed, so that no second node is made."""
        if self._owed:
            self._index.register(self._owed)
            self._owed.clear()

    def _files(self, name: str, code: bytes, record: Mapping[str, Any]) -> dict[str, bytes]:
        return {
            "main.py": code,
            "node.json": write_record(record),
            "README.md": readme(name, code, record).encode("utf-8"),
        }


def _wider(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "languages": max(old.get("languages", 0), new.get("languages", 0)),
        "shared_target": bool(old.get("shared_target") or new.get("shared_target")),
        "fields": sorted({*old.get("fields", ()), *new.get("fields", ())}),
        "max_chars": max(old.get("max_chars", 0), new.get("max_chars", 0)),
        "cases": int(old.get("cases", 0)) + int(new.get("cases", 0)),
    }


def reconcile(
    nodes: NodeStore, index: NodeIndex, complain: Callable[[str], None], progress: Callable[[int], None] | None = None
) -> int:
    """Bring an index in line with the folders of nodes/; give how many were registered.

    Of 100,000 nodes only the names are held, and only of those that the index lacks. A damaged record is complained of.
    """
    present, fresh = 0, list[str]()
    for names in _pieces(nodes.names()):
        present += len(names)
        fresh += index.unlisted(names)
    if present - len(fresh) < len(index):
        index.forget([name for name in index.names() if not nodes.exists(name)])
    if not fresh:
        return 0
    with ThreadPoolExecutor(_READERS) as pool:
        stamps = [stamp for some in pool.map(partial(_stamps, nodes, complain), _pieces(iter(fresh))) for stamp in some]
    given = 0
    for names in _pieces(name for _, _, name in sorted(stamps)):
        given += index.register([nodes.record(name) for name in names])
        if progress:
            progress(given)
    return given


def _stamps(nodes: NodeStore, complain: Callable[[str], None], names: Sequence[str]) -> list[tuple[str, int, str]]:
    """Give (created, version, name) of each readable node: their order is that of registration."""
    found = []
    for name in names:
        try:
            record = nodes.record(name)
        except StoreError as error:
            complain(f"{error.message} {error.hint}")
        else:
            found.append((str(record["created"]), int(record["version"]), name))
    return found


def _pieces(names: Iterator[str]) -> Iterator[list[str]]:
    while piece := list(islice(names, _PIECE)):
        yield piece
