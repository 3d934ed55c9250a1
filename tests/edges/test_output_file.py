"""The output file is a valid array at every moment, is continued where it may be, and nothing else is touched."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from code_evolver.core.errors import InputError, StoreError
from code_evolver.edges import output_file
from code_evolver.edges.output_file import OutputFile

SRC = str(Path(__file__).parents[2] / "src")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "tasks.json", tmp_path / ".code_evolver"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("name", ["tasks.json", "tasks.jsonl"])
def test_tasks_that_could_not_be_written_whole_leave_no_part_and_come_once_when_tried_again(tmp_path, name):
    import resource  # not there on Windows

    output = OutputFile.open(tmp_path / name, tmp_path / ".code_evolver")
    output.add([{"id": 1}])
    batch = [{"id": 2, "content": "x" * 50_000}]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            output.spool(batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    output.spool(batch)
    output.close()
    assert [one["id"] for one in output_file.read_tasks(tmp_path / name)] == [1, 2]


def test_a_new_file_is_an_empty_array_at_once(place, clock):
    output = OutputFile.open(*place, clock=clock)
    assert read(place[0]) == []
    output.close()
    assert read(place[0]) == []


def test_tasks_stand_as_received_in_order(place, clock):
    output = OutputFile.open(*place, clock=clock)
    tasks: list[dict[str, object]] = [
        {"id": 1, "Name": "é😀", "nested": {"a": [None, 1.5]}},
        {"id": "2", "half": "\ud800"},
    ]
    output.add(tasks)
    output.close()
    assert read(place[0]) == tasks
    output.close()


def test_a_small_file_is_replaced_once_a_second(place, clock):
    output = OutputFile.open(*place, clock=clock)
    output.add([{"id": 1}])
    assert read(place[0]) == []
    clock.now += 1.0
    assert output.flush() is True
    assert read(place[0]) == [{"id": 1}]
    assert output.flush() is False
    output.add([{"id": 2}])
    assert read(place[0]) == [{"id": 1}]
    output.close()
    assert read(place[0]) == [{"id": 1}, {"id": 2}]


def test_a_large_file_is_replaced_at_ten_percent_growth(place, clock):
    output = OutputFile.open(*place, clock=clock)
    output.add([{"text": "x" * output_file.SMALL}])
    assert len(read(place[0])) == 1
    clock.now += 60
    output.add([{"text": "y" * (output_file.SMALL // 20)}])
    assert len(read(place[0])) == 1
    output.add([{"text": "z" * (output_file.SMALL // 10)}])
    assert len(read(place[0])) == 3
    output.close()


def test_the_file_of_the_last_run_is_continued(place, clock):
    for number in range(3):
        output = OutputFile.open(*place, clock=clock)
        output.add([{"id": number}])
        output.close()
    assert read(place[0]) == [{"id": 0}, {"id": 1}, {"id": 2}]


def test_tasks_that_a_kill_kept_out_of_the_array_are_there_at_the_next_start(place, clock):
    program = (
        "import os, pathlib, sys; from code_evolver.edges.output_file import OutputFile;"
        "o = OutputFile.open(*map(pathlib.Path, sys.argv[1:]), clock=lambda: 1.0); o.add([{'id': 1}]); os._exit(9)"
    )
    subprocess.run(
        [sys.executable, "-c", program, *place], env={**os.environ, "PYTHONPATH": SRC}, timeout=60, check=False
    )
    assert read(place[0]) == []
    spool = next((place[1] / "output").glob("*.jsonl"))
    with spool.open("ab") as torn:
        torn.write(b'{"id": 2, "half')
    again = OutputFile.open(*place, clock=clock)
    assert read(place[0]) == [{"id": 1}]
    again.close()


def test_a_foreign_task_array_is_continued_and_a_changed_one_is_read_again(place, clock):
    place[0].write_text('[{"id": "a"},\n {"id": "b"}]', encoding="utf-8")
    output = OutputFile.open(*place, clock=clock)
    output.add([{"id": "c"}])
    output.close()
    assert [task["id"] for task in read(place[0])] == ["a", "b", "c"]
    place[0].write_text('[{"id": "z"}]', encoding="utf-8")
    output = OutputFile.open(*place, clock=clock)
    output.add([{"id": "d"}])
    output.close()
    assert [task["id"] for task in read(place[0])] == ["z", "d"]


def test_a_deleted_file_begins_anew(place, clock):
    output = OutputFile.open(*place, clock=clock)
    output.add([{"id": 1}])
    output.close()
    place[0].unlink()
    OutputFile.open(*place, clock=clock).close()
    assert read(place[0]) == []


def test_an_empty_file_counts_as_none(place, clock):
    place[0].touch()
    OutputFile.open(*place, clock=clock).close()
    assert read(place[0]) == []


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"hello",
        b'[{"id": 1}',
        b"[1, 2]",
        b'[{"id": 1}, "x"]',
        b"null",
        b"\xff\xfe",
        b"[" * 5000,
        b'[{"a": NaN}]',
        b" ",
    ],
)
def test_anything_else_is_refused_and_left_as_it_is(place, clock, content):
    place[0].write_bytes(content)
    with pytest.raises(InputError, match="no task array") as caught:
        OutputFile.open(*place, clock=clock)
    assert caught.value.hint
    assert place[0].read_bytes() == content


def test_a_folder_and_a_missing_folder_are_refused(tmp_path, clock):
    with pytest.raises(InputError, match="is a folder"):
        OutputFile.open(tmp_path, tmp_path / "s", clock=clock)
    with pytest.raises(InputError, match="missing"):
        OutputFile.open(tmp_path / "no" / "x.json", tmp_path / "s", clock=clock)
    assert not (tmp_path / "s").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root and Windows may write everywhere")
def test_a_read_only_file_or_folder_is_refused(tmp_path, clock):
    target = tmp_path / "x.json"
    target.write_text("[]", encoding="utf-8")
    target.chmod(0o444)
    with pytest.raises(InputError, match="may not be written"):
        OutputFile.open(target, tmp_path / "s", clock=clock)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs devices")
def test_a_device_is_refused(tmp_path, clock):
    with pytest.raises(InputError, match="no ordinary file"):
        OutputFile.open(Path("/dev/null"), tmp_path / "s", clock=clock)


def test_json_lines_are_appended(tmp_path, clock):
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": 0}', encoding="utf-8")
    output = OutputFile.open(path, tmp_path / "s", clock=clock)
    output.add([{"id": 1}, {"id": 2}])
    assert [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()] == [0, 1, 2]
    output.flush()
    output.close()


@pytest.mark.parametrize("content", ["[1]\n", "x\n"])
def test_a_file_that_holds_no_json_lines_is_refused(tmp_path, clock, content):
    path = tmp_path / "t.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="no task array"):
        OutputFile.open(path, tmp_path / "s", clock=clock)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_stays_one(tmp_path, clock):
    (tmp_path / "real.json").write_text("[]", encoding="utf-8")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    output = OutputFile.open(tmp_path / "link.json", tmp_path / "s", clock=clock)
    output.add([{"id": 1}])
    output.close()
    assert (tmp_path / "link.json").is_symlink()
    assert read(tmp_path / "real.json") == [{"id": 1}]


def test_memory_does_not_grow_with_the_number_of_tasks(place, clock):
    output = OutputFile.open(*place, clock=clock)
    tracemalloc.start()
    for _ in range(200):
        output.add([{"id": number, "text": "x" * 400} for number in range(100)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    output.close()
    assert place[0].stat().st_size > 8_000_000
    assert peak < 3_000_000


def test_numbers_and_letters_that_json_has_not_are_written_as_valid_json(tmp_path):
    output = OutputFile.open(tmp_path / "tasks.json", tmp_path)
    output.add([{"id": "a", "score": [float("inf"), {"x": float("nan")}], "name": "half \ud800"}])
    output.close()
    data = (tmp_path / "tasks.json").read_bytes()
    assert b"NaN" not in data
    assert b"Infinity" not in data
    assert json.loads(data) == [{"id": "a", "score": [None, {"x": None}], "name": "half \ud800"}]
