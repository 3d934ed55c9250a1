"""edges.prompt_files: what led to an accepted program, kept without secrets."""

import json
import os

import pytest

from code_evolver.core.findings import Finding
from code_evolver.core.journey import Draft, Generated, Proof
from code_evolver.core.redact import Redactor
from code_evolver.edges.prompt_files import PromptFiles

SECRET = "hush-4711-secret"
FIRST = Draft(
    "x = 1\n",
    (Finding("main-guard", 1, "No guard.", "Add it."),),
    "b/m",
    f'Write. "token": "{SECRET}"',
    "```python\nx = 1\n```",
)
MADE = Generated(
    b"print()\n",
    Proof(()),
    {"kind": "model", "backend": "b", "model": "m"},
    drafts=(FIRST,),
    prompt="Mend.",
    answer=f"Yes, {SECRET}.",
)


def kept(folder, made=MADE):
    told = []
    PromptFiles(folder, Redactor([SECRET]).clean, lambda name, **fields: told.append((name, fields))).keep(
        "node_a", "t-1", made
    )
    return told


def test_every_draft_and_the_accepted_one_are_there_in_order(tmp_path):
    assert kept(tmp_path / "prompts") == []
    found = json.loads((tmp_path / "prompts" / "node_a.json").read_text(encoding="utf-8"))
    assert (found["node"], found["task_id"]) == ("node_a", "t-1")
    first, last = found["drafts"]
    assert (first["code"], first["findings"][0]["rule"], first["generator"]) == ("x = 1\n", "main-guard", "b/m")
    assert (last["code"], last["prompt"], last["findings"], last["generator"]) == ("print()\n", "Mend.", [], "b/m")


def test_known_secrets_are_taken_out_and_the_rest_stays_json(tmp_path):
    kept(tmp_path)
    text = (tmp_path / "node_a.json").read_text(encoding="utf-8")
    assert SECRET not in text
    assert json.loads(text)["drafts"][1]["answer"] == "Yes, ***."


def test_a_second_time_replaces_the_file(tmp_path):
    kept(tmp_path)
    kept(tmp_path, Generated(b"print(2)\n", Proof(()), MADE.generator))
    assert len(json.loads((tmp_path / "node_a.json").read_text(encoding="utf-8"))["drafts"]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["node_a.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
def test_only_its_owner_may_read_it(tmp_path):
    kept(tmp_path / "prompts")
    assert (tmp_path / "prompts").stat().st_mode & 0o077 == 0
    assert (tmp_path / "prompts" / "node_a.json").stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_told_and_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    ((name, fields),) = kept(tmp_path / "file" / "prompts")
    assert name == "notice"
    assert "node_a" in fields["message"]
