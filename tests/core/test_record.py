"""A node's record says what is known of it, and nothing of a customer's words."""

import json
from typing import Any

import pytest

from code_evolver.core.findings import Finding
from code_evolver.core.journey import Draft, Generated, Proof
from code_evolver.core.message import read_message
from code_evolver.core.record import make_record, one_line, quotes, sample_input, source_id
from code_evolver.core.task_types import known

CODE = b"print(1)\n"
LETTER = "Dear Ms Okafor, the bridge over the Elbe will be closed for repairs until the end of May."


def task_of(**fields):
    (task,) = read_message([{"taskName": "Summarize letter", "llmTaskType": "summarize", **fields}]).tasks
    return task


def record_of(task, title="", description=""):
    made = Generated(CODE, Proof((), {"checks": []}, {"level": "isolated"}), {"kind": "model"}, title, description)
    return make_record(
        "summarize_letter",
        task,
        known(task.type),
        made,
        keys=("p", "k"),
        tools=["summarizer"],
        runtime_sha256="r",
        now=0.0,
    )


def test_a_record_has_every_key_of_the_contract_and_no_text_of_the_task():
    record = record_of(task_of(id="7", content=LETTER, tone="kind", translationLanguages=["fr", "de"]))
    assert {"title", "description", "task_type", "tools", "program_key", "node_key", "source_task", "fields", "sample", "generator", "proof",
            "isolation", "sha256", "runtime_sha256", "created", "version", "parent"} <= set(record)  # fmt: skip
    assert record["fields"] == ["content", "tone"]
    assert len(record["sample"]["translationLanguages"]) == 2
    assert "Okafor" not in json.dumps(record)


def test_a_models_title_is_kept_where_it_quotes_nobody():
    record = record_of(task_of(content=LETTER), "Sums up\x1b[31m a letter", "Reads a letter and\ngives its gist.")
    assert (record["title"], record["description"]) == ("Sums up [31m a letter", "Reads a letter and gives its gist.")


def test_a_models_title_that_quotes_the_task_is_replaced():
    record = record_of(
        task_of(content=LETTER), f"About: {LETTER}", "The BRIDGE  over the Elbe will be closed for repairs"
    )
    assert record["title"] == "Summarize letter"
    assert "Elbe" not in record["description"]


@pytest.mark.parametrize(("text", "found"), [
    (LETTER, True), (LETTER[10:41], True), (LETTER[10:38], False), ("the bridge   OVER the elbe will be", True), ("", False), ("x" * 200, False),
])  # fmt: skip
def test_a_quotation_is_thirty_characters_in_a_row(text, found):
    assert quotes(text, {"content": LETTER, "tone": "kind"}) is found
    assert quotes(text, {}) is False


def test_an_id_is_kept_or_cleaned_and_told_apart():
    assert source_id("task-17") == "task-17"
    odd = ["a\x1b[2Jb", "a\x1b[2Jc", "a\nb", "a\u202eb", "x" * 101, "x" * 102]
    cleaned = [source_id(one) for one in odd]
    assert len(set(cleaned)) == len(odd)
    assert all(one.isprintable() and len(one) <= 113 for one in cleaned)
    assert [source_id(one) for one in odd] == cleaned


def test_one_line_is_one_printable_line():
    assert one_line(" a\n\tb\x00\u202ec ") == "a b c"
    assert len(one_line("x" * 500)) == 200


def test_a_sample_is_synthetic_for_any_type():
    task = task_of(llmTaskType="classify", content=LETTER, instructions="Sort it.")
    sample = sample_input(task, None)
    assert sample["content"] == "A short synthetic text."
    assert sample["instructions"] == "A synthetic instructions."
    assert "translationLanguages" in sample_input(task_of(llmTaskType="translate", content="x"), known("translate"))


def test_a_refused_draft_is_kept_with_its_rule_and_mend_and_without_what_it_quoted():
    found = Finding("wrong-result", 7, "result is 'Dear Ms Okafor'", "Put the tool's answer into result unchanged.")
    draft = Draft("print(2)\n", (found, Finding("syntax", 1, "Not Python: Okafor.")), "local/tiny")
    made = Generated(CODE, Proof((), {}, {}), {"kind": "model"}, drafts=(draft,))
    named: dict[str, Any] = {"keys": ("p", "k"), "tools": [], "runtime_sha256": "r", "now": 0.0}
    record = make_record("summarize_letter", task_of(content=LETTER), known("summarize"), made, **named)
    assert [(one["rule"], one["line"], one["message"]) for one in record["drafts"][0]["findings"]] == [
        ("wrong-result", 7, found.mend), ("syntax", 1, ""),
    ]  # fmt: skip
    assert "Okafor" not in json.dumps(record)
