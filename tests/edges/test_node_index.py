"""The index and registry.json: found at once, rebuildable at any time, damaged files set aside."""

import json
import os
import sqlite3
from contextlib import closing

import pytest

from code_evolver.core.errors import StoreError
from code_evolver.core.registry import read_registry, summary
from code_evolver.edges.node_index import SMALL, NodeIndex
from code_evolver.edges.node_index.registry_file import RegistryFile
from code_evolver.edges.node_index.schema import open_database


def record(name, *, node_key=None, program="summarize:content", task="t-1", sha="0" * 64, version=1):
    return {
        "name": name, "title": name, "description": "d", "task_type": "summarize", "tools": ["summarizer"], "program_key": program,
        "node_key": node_key or f"{program}/{name}", "source_task": task, "generator": {"kind": "composer"},
        "proof": {"covers": {"languages": 2}}, "isolation": {"level": "isolated"}, "sha256": sha, "created": "2026-01-01T00:00:00.000Z",
        "version": version,
    }  # fmt: skip


@pytest.fixture
def index(tmp_path):
    made = NodeIndex(tmp_path / "state" / "index.db", tmp_path / "registry.json")
    yield made
    made.close()


def listed(tmp_path):
    return read_registry((tmp_path / "registry.json").read_bytes())


def test_a_registered_node_is_found_by_every_key(index):
    index.register([record("summarize_a")])
    assert index.newest("summarize:content/summarize_a").name == "summarize_a"
    assert index.program("summarize:content").name == "summarize_a"
    assert index.newest("summarize:content/summarize_a").covers == {"languages": 2}
    assert index.of_task("summarize:content/summarize_a", "t-1").name == "summarize_a"
    assert index.with_program("0" * 64) == "summarize_a"
    assert index.newest("nothing") is None


def test_registry_json_is_complete_after_each_save(index, tmp_path):
    for number in range(20):
        index.register([record(f"summarize_{number}")])
        assert len(listed(tmp_path)) == number + 1
    text = (tmp_path / "registry.json").read_text(encoding="utf-8")
    assert text.count("\n") == 20 + 5
    assert listed(tmp_path)["summarize_3"]["tags"] == ["signalr", "generated", "summarize"]


def test_registering_twice_changes_nothing(index, tmp_path):
    index.register([record("summarize_a")])
    before = (tmp_path / "registry.json").read_bytes()
    index.register([record("summarize_a")])
    assert (tmp_path / "registry.json").read_bytes() == before
    assert len(index) == 1


def test_above_a_thousand_nodes_the_file_is_written_when_asked(index, tmp_path):
    index.register([record(f"summarize_{number}") for number in range(SMALL)])
    assert len(listed(tmp_path)) == SMALL
    index.register([record("one_more")])
    assert len(listed(tmp_path)) == SMALL
    index.catch_up()
    assert len(listed(tmp_path)) == SMALL + 1


def test_a_registry_that_somebody_edited_is_made_anew(index, tmp_path):
    index.register([record("summarize_a")])
    (tmp_path / "registry.json").write_text('{"schema_version": 1, "nodes": {}}', encoding="utf-8")
    index.register([record("summarize_b")])
    assert set(listed(tmp_path)) == {"summarize_a", "summarize_b"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema_version": 2, "nodes": {}}', '{"schema_version": 1, "nodes": []}']
)
def test_a_damaged_registry_is_set_aside_and_mended(index, tmp_path, text):
    index.register([record("summarize_a")])
    (tmp_path / "registry.json").write_text(text, encoding="utf-8")
    notice = index.mend_registry()
    assert "registry.json.damaged-1" in notice
    assert set(listed(tmp_path)) == {"summarize_a"}
    assert (tmp_path / "registry.json.damaged-1").read_text(encoding="utf-8") == text


def test_a_damaged_index_is_set_aside(tmp_path):
    (tmp_path / "index.db").write_bytes(b"this is no database" * 100)
    index = NodeIndex(tmp_path / "index.db", tmp_path / "registry.json")
    assert "index.db.damaged-1" in index.notices[0]
    index.register([record("summarize_a")])
    assert len(index) == 1
    index.close()


def test_a_bad_node_is_neither_used_nor_an_example(index):
    index.register([{**record("summarize_a", node_key="k", sha="1" * 64), "rating": "bad"}])
    assert index.newest("k").rating == "bad"
    assert index.program("summarize:content") is None
    assert index.near("summarize", ["a"]) == []
    index.register([record("summarize_a_2", node_key="k", version=2)])
    assert (index.newest("k").name, index.newest("k").version) == ("summarize_a_2", 2)


def test_copies_of_a_bad_program_serve_no_new_subject(index):
    bad, copy = record("summarize_a", node_key="k", sha="1" * 64), record("summarize_b", sha="1" * 64)
    index.register([bad, copy])
    assert index.program("summarize:content").name == "summarize_a"
    index.register([{**bad, "rating": "bad"}])
    assert index.program("summarize:content") is None
    assert index.newest(copy["node_key"]).name == "summarize_b"


def test_nodes_are_near_by_words_by_type_and_never_as_copies(index):
    copy = {**record("summarize_blog_post_2"), "generator": {"kind": "copy"}}
    index.register([record("summarize_blog_post"), record("translate_menu"), copy])
    index.register(
        [{**record(f"generate_{number}", program="generate:prompt"), "task_type": "generate"} for number in range(40)]
    )
    found = {one.name for one in index.near("generate", ["menu"])}
    assert "translate_menu" in found
    assert "summarize_blog_post" not in found
    assert {one.name for one in index.near("summarize", ["blog", "post"])} >= {"summarize_blog_post", "translate_menu"}


def test_words_that_are_search_syntax_find_nothing_and_break_nothing(index):
    index.register([record("summarize_a")])
    assert index.near("other", ['"', "NEAR(", "a*", "AND", "x or y"])


def test_lessons_are_counted_and_bounded(index):
    for number in range(30):
        index.learn("summarize:content", "summarize", [("json", "It prints no JSON."), ("line", f"Line {number}.")])
    index.learn("summarize:text", "summarize", [("other", "Of a sibling.")])
    first = index.lessons("summarize:content", "summarize", 5)
    assert first[0] == ("json", "It prints no JSON.")
    assert len(first) == 5
    assert index.lessons("summarize:text", "summarize", 5)[0] == ("other", "Of a sibling.")
    assert len(index.lessons("summarize:content", "summarize", 100)) <= 9
    assert index.lessons("translate:content", "translate", 5) == []


def test_an_untouched_registry_is_believed_and_one_left_behind_is_not(tmp_path):
    index = NodeIndex(tmp_path / "index.db", tmp_path / "registry.json")
    index.register([record(f"summarize_{number}") for number in range(SMALL)])
    index.register([record("one_more")])
    del index  # killed: registry.json was not caught up
    index = NodeIndex(tmp_path / "index.db", tmp_path / "registry.json")
    assert index.mend_registry() == "registry.json does not list all nodes."
    assert len(listed(tmp_path)) == SMALL + 1
    assert index.mend_registry() == ""
    index.close()


def test_pages_are_right_where_numbers_are_missing(index):
    index.register([record(name) for name in "abcdef"])
    assert [name for name, _ in index.page(2, 2)] == ["c", "d"]
    index.forget(["b", "d"])
    assert [name for name, _ in index.page(1, 2)] == ["c", "e"]
    assert index.page(9, 2) == []


def test_pages_come_in_the_order_of_registration(index):
    index.register([record(name) for name in ("c", "a", "b")])
    assert [name for name, _ in index.page(0, 2)] == ["c", "a"]
    assert [name for name, _ in index.page(2, 2)] == ["b"]
    assert index.page(0, 5, "translate") == []


def test_forgotten_nodes_leave_index_and_registry(index, tmp_path):
    index.register([record("a"), record("b")])
    index.forget(["a"])
    assert set(listed(tmp_path)) == {"b"}
    assert list(index.names()) == ["b"]


def test_lines_of_the_registry_are_strict_json(index, tmp_path):
    index.register([{**record("a"), "title": 'quotes " and \u2028 and ü'}])
    assert json.loads((tmp_path / "registry.json").read_text(encoding="utf-8"))["nodes"]["a"]["title"].startswith(
        "quotes"
    )


def test_a_healthy_index_that_is_locked_stays_where_it_is(tmp_path):
    path = tmp_path / "index.db"
    NodeIndex(path, tmp_path / "registry.json").close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            open_database(path, busy_seconds=0.05)
    assert not list(tmp_path.glob("*.damaged-*"))


def test_an_index_that_cannot_be_opened_stays_where_it_is(tmp_path):
    (tmp_path / "index.db").mkdir()
    with pytest.raises(StoreError, match="unable to open"):
        NodeIndex(tmp_path / "index.db", tmp_path / "registry.json")
    assert (tmp_path / "index.db").is_dir()


def test_a_foreign_database_is_set_aside(tmp_path):
    with closing(sqlite3.connect(tmp_path / "index.db")) as other:
        other.execute("CREATE TABLE theirs (x)")
    index = NodeIndex(tmp_path / "index.db", tmp_path / "registry.json")
    index.close()
    assert "index.db.damaged-1" in index.notices[0]


@pytest.mark.parametrize(
    "look",
    [
        lambda index: index.newest("k"),
        lambda index: index.near("summarize", ["a"]),
        lambda index: index.lessons("p", "summarize"),
        lambda index: index.page(0, 10),
        lambda index: index.page(5, 10, "summarize"),
        lambda index: list(index.names()),
        lambda index: list(index.originals()),
        lambda index: index.copies(),
        lambda index: index.unlisted(["a"]),
        lambda index: index.catch_up(),
        lambda index: index.register([record("another")]),
    ],
)
def test_whatever_is_asked_of_a_broken_index_is_a_store_error(index, tmp_path, look):
    index.register([record("summarize_a")])
    with closing(sqlite3.connect(tmp_path / "state" / "index.db")) as other:
        for table in ("nodes", "lessons", "notes"):
            other.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreError, match="index"):
        look(index)


def test_writers_of_one_registry_do_not_share_a_temporary_file(tmp_path):
    """A second writer comes while the first is amid its file: each file is whole, and the first knows that it lost."""
    first, second = RegistryFile(tmp_path / "registry.json", ""), RegistryFile(tmp_path / "registry.json", "")

    def nodes():
        yield "a", summary(record("a"))
        second.write([("b", summary(record("b")))])

    first.write(nodes())
    assert set(listed(tmp_path)) == {"a"}
    assert (first.ours, second.ours) == (True, False)
    assert [path.name for path in tmp_path.iterdir()] == ["registry.json"]


def test_new_registries_that_killed_writers_left_are_swept_away_when_they_are_old(tmp_path):
    old, young = tmp_path / ".registry.json.1-aa.new", tmp_path / ".registry.json.2-bb.new"
    for path in (old, young):
        path.write_text("half", encoding="utf-8")
    os.utime(old, (1, 1))
    RegistryFile(tmp_path / "registry.json", "")
    assert not old.exists()
    assert young.exists()
