"""A workspace's paths, the lock with its owner, requests to a running connector: real files, real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from code_evolver.core.errors import InputError, StoreError, WorkspaceHeld
from code_evolver.edges.workspace import Workspace, answer_request, ask, hold, holder, take_requests

ROOT = Path(__file__).parents[2]
HOLDER = """
import subprocess, sys
from pathlib import Path
from code_evolver.edges.workspace import Workspace, hold
with hold(Workspace.at(Path(sys.argv[1])), {"started": "2026-01-02T03:04:05Z", "command": "run"}):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
    child.wait()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace.at(tmp_path / "here")
    found.prepare()
    return found


@contextmanager
def another_process(workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Hold the workspace from another process; give it and the pid of a child of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(workspace.root)], env=environment, text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    grandchild = int(process.stdout.readline())
    try:
        yield process, grandchild
    finally:
        process.kill()
        os.kill(grandchild, signal.SIGKILL)  # it outlives its parent, and holds the other end of the pipe
        process.communicate(timeout=20)


def test_everything_lies_under_the_root(tmp_path: Path):
    found = Workspace.at(tmp_path)
    paths = [
        found.nodes,
        found.registry,
        found.state,
        found.queue,
        found.index,
        found.config,
        found.tools,
        found.reserve,
    ]
    assert [path.relative_to(found.root).as_posix() for path in paths] == [
        "nodes", "registry.json", ".code_evolver", ".code_evolver/queue.db", ".code_evolver/index.db", "config.yaml",
        "tools", ".code_evolver/reserve",
    ]  # fmt: skip


def test_two_names_of_one_folder_are_one_workspace(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Workspace.at(tmp_path / "link") == Workspace.at(tmp_path / "x" / ".." / "real")


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(StoreError, match="loop"):
        Workspace.at(tmp_path / "loop").prepare()


@pytest.mark.parametrize("name", ["nodes", ".code_evolver"])
def test_a_folder_that_leads_elsewhere_or_is_a_file_is_refused_by_name(tmp_path: Path, name: str):
    (tmp_path / "elsewhere").mkdir()
    found = Workspace.at(tmp_path / "here")
    found.root.mkdir()
    (found.root / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=f"{name} is a symbolic link"):
        found.prepare()
    (found.root / name).unlink()
    (found.root / name).write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=f"{name} cannot be written"):
        found.prepare()


def test_a_place_that_nobody_may_write_to_is_said_clearly():
    if not Path("/proc/self").exists():
        pytest.skip("needs a read-only place")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        Workspace.at(Path("/proc/self")).prepare()
    assert "--workspace" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "/etc", "a\\b", "-x", "_x", "a\n", "ä", "x" * 81, "nul\0"]
)
def test_a_nodes_name_never_leads_out_of_the_workspace(workspace: Workspace, name: str):
    with pytest.raises(InputError, match="no node's name"):
        workspace.node_path(name)


def test_a_nodes_folder_is_given_unless_it_is_a_link(workspace: Workspace, tmp_path: Path):
    assert workspace.node_path("summarize_notes_2") == workspace.nodes / "summarize_notes_2"
    (workspace.nodes / "evil").symlink_to(tmp_path)
    with pytest.raises(InputError, match="symbolic link"):
        workspace.node_path("evil")


# ── the lock ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_second_connector_is_told_who_holds_the_workspace_and_since_when(workspace: Workspace):
    with another_process(workspace) as (process, _):
        with (
            pytest.raises(WorkspaceHeld, match=rf"process '{process.pid}' since '2026-01-02T03:04:05Z'"),
            hold(workspace, {}),
        ):
            pass
        owner = holder(workspace)
        assert owner is not None
        assert (owner["pid"], owner["command"]) == (process.pid, "run")


def test_a_killed_owner_holds_nothing_although_its_child_lives_on(workspace: Workspace):
    with another_process(workspace) as (process, grandchild):
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        assert holder(workspace) is None
        assert workspace.owner.exists()
        with hold(workspace, {}) as held:
            assert held.left_behind is not None
            assert held.left_behind["pid"] == process.pid
            assert json.loads(workspace.owner.read_text(encoding="utf-8"))["pid"] == os.getpid()
        os.kill(grandchild, 0)  # raises where it is gone


def test_after_an_orderly_end_nothing_is_left_behind(workspace: Workspace):
    for _ in range(2):
        with hold(workspace, {"started": "now"}) as held:
            assert held.left_behind is None
            assert holder(workspace) == {"pid": os.getpid(), "host": os.uname().nodename, "started": "now"}
        assert holder(workspace) is None
        assert not workspace.owner.exists()


def test_an_owner_file_that_cannot_be_read_does_not_hide_that_it_is_held(workspace: Workspace):
    with another_process(workspace):
        workspace.owner.write_text("{torn", encoding="utf-8")
        assert holder(workspace) == {}
        with pytest.raises(WorkspaceHeld, match="another process"), hold(workspace, {}):
            pass


def test_a_workspace_that_was_never_used_is_held_by_nobody(tmp_path: Path):
    assert holder(Workspace.at(tmp_path / "none")) is None


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_a_request_is_answered_and_leaves_nothing(workspace: Workspace):
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(ask(workspace, {"do": "retry", "keys": [3]}, 20)))
    asking.start()
    try:
        found = wait_for_requests(workspace)
        assert [request.body for request in found] == [{"do": "retry", "keys": [3]}]
        assert take_requests(workspace) == found, "it stays until it is answered"
        answer_request(workspace, found[0].id, {"retried": 1})
    finally:
        asking.join(timeout=30)
    assert answers == [{"retried": 1}]
    assert list(workspace.requests.iterdir()) == []
    answer_request(workspace, found[0].id, {"late": True})
    assert list(workspace.requests.iterdir()) == []


def wait_for_requests(workspace: Workspace):
    for _ in range(400):
        if found := take_requests(workspace):
            return found
        threading.Event().wait(0.02)
    raise AssertionError("no request came")


def test_a_request_that_nobody_takes_is_taken_back(workspace: Workspace):
    assert ask(workspace, {"do": "drop"}, 0.0) is None
    assert list(take_requests(workspace)) == []
    assert list(workspace.requests.iterdir()) == []


def test_files_that_are_no_requests_are_put_by_and_hinder_no_other(workspace: Workspace, tmp_path: Path):
    (tmp_path / "outside").write_text("{}", encoding="utf-8")
    for number, content in enumerate(["{torn", "[]", '{"a": 1, "a": 2}', '{"fine": 1}']):
        (workspace.requests / f"{number:016x}.json").write_text(content, encoding="utf-8")
    (workspace.requests / "oddname.json").write_text("{}", encoding="utf-8")
    (workspace.requests / f"{9:016x}.json").symlink_to(tmp_path / "outside")
    assert [request.body for request in take_requests(workspace)] == [{"fine": 1}]
    assert len(list(workspace.requests.glob("*.refused"))) == 5


def test_the_id_of_an_answer_cannot_lead_out_of_the_folder(workspace: Workspace):
    with pytest.raises(InputError):
        answer_request(workspace, "../../x", {})


@pytest.mark.skipif(os.name != "posix", reason="permission bits as POSIX has them")
def test_others_may_read_the_nodes_but_not_the_state(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        fresh = Workspace.at(tmp_path / "fresh")
        fresh.prepare()
    finally:
        os.umask(before)
    assert [folder.stat().st_mode & 0o777 for folder in (fresh.nodes, fresh.state)] == [0o755, 0o700]
