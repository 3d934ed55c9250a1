"""nodes/ on a real disk: whole or not at all, and never outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from code_evolver.core.errors import InputError, StoreError
from code_evolver.edges.nodes import NodeStore

FILES = {"main.py": b"print('{}')\n", "node.json": b"{}\n", "README.md": b"# x\n"}


@pytest.fixture
def store(tmp_path):
    return NodeStore(tmp_path / "nodes", tmp_path / ".code_evolver" / "staged")


def test_a_saved_node_has_all_its_files(store):
    folder = store.save("summarize_text", FILES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert list(store.names()) == ["summarize_text"]


def test_a_taken_name_is_never_overwritten(store):
    store.save("summarize_text", FILES)
    with pytest.raises(StoreError):
        store.save("summarize_text", {**FILES, "main.py": b"other"})
    assert store.code("summarize_text") == FILES["main.py"]


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "CON", "", "Ünder", "x" * 70, "json", ".hidden", "a\\b", "a\0b"])
def test_no_name_leads_out_of_the_folder(store, name):
    with pytest.raises(StoreError):
        store.save(name, FILES)
    with pytest.raises(StoreError):
        store.code(name)


def test_a_linked_node_is_refused(store, tmp_path):
    store.save("real_one", FILES)
    (tmp_path / "nodes" / "linked").symlink_to(tmp_path / "nodes" / "real_one")
    with pytest.raises(StoreError, match="symbolic link"):
        store.code("linked")
    assert list(store.names()) == ["real_one"]


def test_a_damaged_record_says_what_is_wrong(store):
    store.save("summarize_text", FILES)
    with pytest.raises(StoreError, match="lacks name"):
        store.record("summarize_text")
    store.replace("summarize_text", "node.json", b'{"name": ')
    with pytest.raises(StoreError, match="damaged"):
        store.record("summarize_text")


def test_a_missing_node_is_named(store):
    with pytest.raises(StoreError, match="nodes/nothing"):
        store.record("nothing")


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {src!r})
from code_evolver.edges import nodes
step = int(sys.argv[2])
count = 0
def killing(call):
    def wrapped(*arguments, **named):
        global count
        count += 1
        if count == step:
            os.kill(os.getpid(), 9)
        return call(*arguments, **named)
    return wrapped
os.fsync = killing(os.fsync)
os.rename = killing(os.rename)
root = Path(sys.argv[1])
nodes.NodeStore(root / "nodes", root / "staged").save("a_node", {{"main.py": b"1", "node.json": b"2", "README.md": b"3"}})
print(count)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("step", range(1, 8))
def test_a_kill_at_any_step_leaves_no_node_or_a_whole_one(tmp_path, step):
    src = str(Path(__file__).resolve().parents[2] / "src")
    subprocess.run([sys.executable, "-c", KILLED.format(src=src), str(tmp_path), str(step)], check=False, timeout=30)
    store = NodeStore(tmp_path / "nodes", tmp_path / "staged")
    found = list(store.names())
    assert found in ([], ["a_node"])
    for name in found:
        assert sorted(path.name for path in (tmp_path / "nodes" / name).iterdir()) == [
            "README.md",
            "main.py",
            "node.json",
        ]
    store.clear_staged()
    assert not (tmp_path / "staged").exists() or not list((tmp_path / "staged").iterdir())
    if not found:
        store.save("a_node", FILES)


@pytest.mark.parametrize("name", ["nothing", "../../etc", "", "a\0b", "x" * 70])
def test_a_name_that_a_person_mistyped_is_bad_input(store, name):
    store.save("summarize_text", FILES)
    assert store.asked_for("summarize_text") == "summarize_text"
    with pytest.raises(InputError, match="There is no node") as caught:
        store.asked_for(name)
    assert "nodes list" in caught.value.hint
