import asyncio
import gc
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from code_evolver.core.errors import HubError, TokenUnavailable
from code_evolver.core.session import HubSettings
from code_evolver.edges.hub import token
from tests.tool_servers import alive


def fetch(**settings):
    return asyncio.run(token.fetch(HubSettings("http://h", **settings)))


def test_a_token_comes_from_the_command_else_the_file_else_the_setting(tmp_path):
    file = tmp_path / "token"
    file.write_text("\ufefffrom-file\n", encoding="utf-8")
    assert fetch() is None
    assert fetch(access_token=" Bearer given ") == "given"
    assert fetch(access_token="given", access_token_file=str(file)) == "from-file"
    assert (
        fetch(access_token_file=str(file), access_token_command="printf 'from command'".replace(" c", "-c"))
        == "from-command"
    )
    assert fetch(access_token_command=(sys.executable, "-c", "print('listed')")) == "listed"


def test_a_command_runs_without_a_shell():
    assert fetch(access_token_command="echo $HOME;id") == "$HOME;id"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"access_token_command": "false"}, "exit code 1"),
        ({"access_token_command": "no-such-program-at-all"}, "cannot be started"),
        ({"access_token_command": "'unbalanced"}, "cannot be started"),
        ({"access_token_command": "true"}, "empty token"),
        ({"access_token_command": "yes"}, "more than 65536 bytes"),
        ({"access_token_command": "echo SECRET words"}, "is no token"),
        ({"access_token_file": "/no/such/file"}, "cannot be read"),
        ({"access_token": "SECRÉT"}, "is no token"),
    ],
)
def test_a_token_that_cannot_be_had_is_an_error_that_does_not_show_it(settings, words):
    with pytest.raises(HubError, match=words) as caught:
        fetch(**settings)
    assert "SECR" not in str(caught.value)
    assert (caught.value.actual_code, caught.value.exit_code) == ("hub_authentication", 4)
    assert caught.value.retryable is ("access_token" not in settings), "what is given stays as it is"


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    pid = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid}; wait"
    started = time.monotonic()
    with pytest.raises(TokenUnavailable, match="within 2 s"):
        fetch(access_token_command=("sh", "-c", script), token_timeout_seconds=2.0)
    assert time.monotonic() - started < 5
    assert not alive(int(pid.read_text(encoding="utf-8")))


def open_files():
    gc.collect()  # what a test before left in a circle closes its file when that is found
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("then", ["sleep 60", "echo token"])
def test_what_a_command_left_behind_with_its_output_open_holds_up_nothing_and_leaves_nothing_open(then, tmp_path):
    async def scene():
        before = open_files()
        started = time.monotonic()
        with pytest.raises(TokenUnavailable, match="within 2 s"):
            await token.fetch(HubSettings("http://h", access_token_command=command, token_timeout_seconds=2.0))
        assert time.monotonic() - started < 5
        await asyncio.sleep(0)  # a transport closes its file in the next turn
        assert open_files() == before

    command = ("sh", "-c", f"setsid sleep 30 & echo $! > {tmp_path / 'pid'}; {then}")
    asyncio.run(scene())
    os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), signal.SIGKILL)
