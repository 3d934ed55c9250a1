"""The ready-made help says what the doors' own parsers say. `python tests/test_help_text.py` writes it anew."""

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from code_evolver import help_text
from code_evolver.cli import COMMANDS

FILE = Path(help_text.__file__).with_name("help.txt")


def made_by_its_parser(command: str) -> str:
    module = importlib.import_module(f"code_evolver.commands.{command.replace('-', '_')}")
    printed = io.StringIO()
    os.environ["COLUMNS"] = str(help_text.COLUMNS)
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        module.main(["--help"])
    return printed.getvalue()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_ready_made_help_of_a_command_has_the_words_of_its_parser(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    # Words only: Python versions break the lines of a usage differently.
    assert help_text.texts()[command].split() == made_by_its_parser(command).split(), "python tests/test_help_text.py"


def test_help_is_ready_made_only_where_it_is_all_that_is_asked_for_and_fits(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert help_text.helped_with("run", ["--help"])
    assert "--demo" in capsys.readouterr().out
    assert not help_text.helped_with("run", ["--demo", "--help"])
    assert not help_text.helped_with("nothing", ["--help"])
    monkeypatch.setenv("COLUMNS", "40")
    assert not help_text.helped_with("run", ["--help"])
    assert capsys.readouterr().out == ""


if __name__ == "__main__":
    FILE.write_text(
        "".join(f"{name}\n{made_by_its_parser(name)}\f" for name in COMMANDS), encoding="utf-8", newline="\n"
    )
