"""Bad commands, flags and surroundings of the launcher and of `code-evolver`: what is wrong, and the exit code."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from code_evolver.edges.workspace import Workspace
from code_evolver.ports import End
from tests.acceptance_kit import (
    CLI,
    LAUNCHER,
    ROOT,
    environment,
    run,
)
from tests.queue_helpers import task, tell

BAD_COMMANDS = [
    (["nonsense"], 2), (["nodes", "show", "../../etc"], 2), (["nodes", "show", "nothing"], 2), (["nodes", "show"], 2),
    (["dead", "show", "x"], 2), (["dead", "retry"], 2), (["nodes", "rate", "a", "great"], 2), (["tool", "no_such_tool"], 1),
    (["status", "--workspace", "/dev/null"], 3), (["demo-hub", "--tasks", "/no/such/file"], 2), (["demo-hub", "--port", "99999"], 2),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code"), BAD_COMMANDS)
def test_bad_commands_say_what_is_wrong(words, code, tmp_path):
    done = subprocess.run(
        [*CLI, *words], input=b"text", capture_output=True, cwd=tmp_path, timeout=60, check=False, env=environment()
    )
    assert done.returncode == code, done.stderr + done.stdout
    assert b"Traceback" not in done.stderr
    assert done.stderr or done.stdout


@pytest.fixture
def damaged(tmp_path):
    """A workspace with a dead letter, and a torn page in its queue."""
    queue = Workspace.at(tmp_path).queue
    queue.parent.mkdir(parents=True)
    tell(queue, one_fails)
    with closing(sqlite3.connect(queue)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'counters'").fetchone()
    with queue.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\xff" * 4096)
    return tmp_path


async def one_fails(queue):
    await queue.put([task("1")], [])
    (lease,) = await queue.lease(1)
    await queue.finish([End(lease, "failed", reason="no draft", code="no_draft")])


@pytest.mark.parametrize(("key", "code"), [("1", 0), ("99", 2)])
def test_a_command_that_sets_a_damaged_queue_aside_says_so(damaged, key, code):
    found, printed, said = run([*CLI, "dead", "retry", key, "--json", "--workspace", str(damaged)])
    assert found == code, said
    (notice,) = said.splitlines()
    assert notice.startswith("Notice: queue.db is damaged")
    assert "queue.db.damaged-1" in notice
    assert not printed["success"] or f"Notice: {printed['notices'][0]}" == notice


FLAGS = [
    ["--demo", "--hub-url", "http://localhost:5000/x"],
    ["--duration", "-5"],
    ["--duration", "until noon"],
    ["--hub-url", "nonsense"],
    ["--max-reconnect-attempts", "many"],
    ["--no-such-flag"],
    [],
]


@pytest.mark.parametrize("flags", FLAGS)
def test_bad_flags_end_with_2(flags, tmp_path):
    done = subprocess.run(
        [*LAUNCHER, *flags], capture_output=True, cwd=tmp_path, timeout=60, check=False, env=environment()
    )
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr


def test_the_launcher_reads_its_surroundings_and_config(tmp_path):
    (tmp_path / "config.yaml").write_text("hub_name: FromConfig\nkeep_alive_seconds: 7\n", encoding="utf-8")
    command = [*LAUNCHER, "--show-config", "--json", "--workspace", str(tmp_path)]
    code, printed, _ = run(
        command,
        env=environment(CODE_EVOLVER_HUB_URL="http://localhost:5000/x", CODE_EVOLVER_ACCESS_TOKEN="S3CRET-token"),
    )
    rows = {row["name"]: row for row in printed["config"]}
    assert code == 0
    assert (rows["hub_name"]["value"], rows["hub_name"]["origin"]) == ("FromConfig", "config.yaml")
    assert rows["hub_url"]["origin"] == "environment CODE_EVOLVER_HUB_URL"
    assert "S3CRET" not in json.dumps(printed)
    assert Path(ROOT).exists()
