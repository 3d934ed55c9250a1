"""Which client library is used: `auto` takes the first that is installed; one that is named has to be there."""

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.acceptance_kit import CONNECTOR, ROOT, Door, environment, hub

pytest.importorskip("pysignalr")


@pytest.fixture(scope="module")
def server():
    with hub("demo") as made:
        yield made


def start(server, folder, client, absent):
    """Start the connector in an environment that has everything installed but `absent`."""
    packages = folder / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith((*absent, "__editable__")):
            (packages / path.name).symlink_to(path)
    settings = {"hub_url": server.url, "workspace": str(folder / "w"), "client": client, "llm": "off"}
    env = {**environment(), "PYTHONPATH": f"{ROOT / 'src'}:{packages}"}
    return Door([sys.executable, "-S", *CONNECTOR[1:]], stdin=json.dumps(settings).encode(), env=env)


@pytest.mark.parametrize(
    ("client", "absent", "used"),
    [("auto", (), "signalrcore"), ("auto", ("signalrcore",), "pysignalr"), ("pysignalr", (), "pysignalr")],
)
def test_auto_takes_the_first_client_library_that_is_installed(client, absent, used, server, tmp_path):
    door = start(server, tmp_path, client, absent)
    try:
        assert door.wait_event("connected")[0]["client"] == used
    finally:
        door.kill()


@pytest.mark.parametrize(
    ("client", "absent"),
    [("signalrcore", ("signalrcore",)), ("pysignalr", ("pysignalr",)), ("auto", ("signalrcore", "pysignalr"))],
)
def test_a_client_library_that_is_not_installed_is_named(client, absent, server, tmp_path):
    door = start(server, tmp_path, client, absent)
    try:
        code, printed = door.end()
    finally:
        door.kill()
    assert (code, printed["error"]["code"]) == (3, "configuration")
    assert printed["error"]["message"] == f"The SignalR client library is not installed: {', '.join(absent)}."
    assert 'pip install "code-evolver[pysignalr]"' in printed["error"]["hint"], "the extra brings both"
