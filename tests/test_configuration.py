"""Where settings are looked for, and the one flag of the JSON tools."""

from pathlib import Path

import pytest

from code_evolver.configuration import load, workspace_flag
from code_evolver.core.errors import InputError
from code_evolver.core.settings import Layer, from_json


@pytest.mark.parametrize(
    ("words", "found"),
    [([], {}), (["--workspace", "a b"], {"workspace": "a b"}), (["--workspace=x"], {"workspace": "x"})],
)
def test_the_workspace_is_read(words, found):
    assert workspace_flag(words) == found


@pytest.mark.parametrize(
    "words", [["--workspace"], ["--workspace="], ["--workspace", ""], ["x"], ["--json"], ["--workspace", "a", "b"]]
)
def test_another_word_is_named(words):
    with pytest.raises(InputError) as caught:
        workspace_flag(words)
    assert "--workspace DIR" in caught.value.hint


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "config.yaml").write_text("output_file: ~/out.json\nhub_name: Tilde\n", encoding="utf-8")
    given = from_json({"workspace": "~/ws", "access_token_file": "~/tok", "hub_url": "http://h/~/x"})
    found = load(given, {"CODE_EVOLVER_CA_FILE": "~/ca.pem"}).settings
    assert found.hub_name == "Tilde"
    assert [found.workspace, found.output_file, found.access_token_file, found.ca_file] == [
        str(tmp_path / name) for name in ("ws", "out.json", "tok", "ca.pem")
    ]
    assert found.hub_url == "http://h/~/x"


@pytest.mark.parametrize("path", ["a/~/b", "b~", "~nobody-of-this-name/tok", "/~"])
def test_another_path_stays(path):
    assert load(Layer({"ca_file": path}, {}), {}).settings.ca_file == path
