"""A row of the training set: synthetic task, the prompt that would be asked, the mended drafts, the accepted program."""

import json

from code_evolver.core.prompt import ToolCard
from code_evolver.core.training_set import MODEL_LICENCE, OWN_LICENCE, as_line, example, exportable, sample_task

TOOLS = [ToolCard("summarizer", "Summarizes a text.")]


class Router:
    tier, system_prompt, temperature, max_tokens = "general", "You write programs.", 0.2, 4000
    prompt_template = "# Task\n{task}\n\n# Rules\n{rules}\n\n# Wrong\n{findings}\n\n# Answer\n{instructions}"


def record(**more):
    return {
        "name": "summarize_report", "title": "Summarize report", "description": "Summarizes.", "task_type": "summarize",
        "tools": ["summarizer"], "sample": {"id": "sample-1", "content": "A short synthetic text."}, "sha256": "0" * 64,
        "generator": {"kind": "model", "backend": "b", "model": "m", "attempts": 2, "tokens_in": 5}, "created": "2026-01-01",
        "version": 1, "proof": {"versions": {"judge": "1"}}, "isolation": {"level": "isolated"},
        "drafts": [{"generator": "b/m", "code": "bad code", "findings": [{"rule": "json", "line": 3, "message": "No JSON.", "mend": "Print one."}]}],
        **more,
    }  # fmt: skip


def test_a_row_has_prompt_drafts_program_provenance_and_licence():
    row = example(record(), "good code", Router(), TOOLS)
    assert "A short synthetic text." in row["prompt"]
    assert row["code"] == "good code"
    assert "No JSON. Print one." in row["drafts"][0]["repair_prompt"]
    assert "bad code" in row["drafts"][0]["repair_prompt"]
    assert row["provenance"]["generator"] == {"kind": "model", "backend": "b", "model": "m", "attempts": 2}
    assert row["licence"] == MODEL_LICENCE
    assert example(record(generator={"kind": "composer"}), "x", Router(), TOOLS)["licence"] == OWN_LICENCE
    assert example(record(), "x", Router(), TOOLS, "CC0-1.0")["licence"] == "CC0-1.0"


def test_chat_is_a_conversation_with_its_repairs_and_jsonl_the_fields():
    row = example(record(), "good code", Router(), TOOLS)
    chat = json.loads(as_line(row, "chat"))
    assert [message["role"] for message in chat["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert chat["messages"][2]["content"] == "```python\nbad code\n```"
    assert chat["messages"][-1]["content"] == "```python\ngood code\n```"
    assert json.loads(as_line(row, "jsonl")) == row
    for form in ("chat", "jsonl"):
        assert as_line(row, form).count("\n") == 1


def test_what_looks_like_a_secret_is_taken_out():
    line = as_line(example(record(), 'key = "sk-abcdefghijklmnop1234"', Router(), TOOLS), "chat")
    assert "abcdefghijklmnop1234" not in line


def test_copies_bad_nodes_and_those_that_quote_their_task_stay_at_home():
    assert exportable(record())
    assert not exportable(record(generator={"kind": "copy", "of": "x"}))
    assert not exportable(record(rating="bad"))
    assert not exportable(record(quotes_task=True))


def test_the_synthetic_task_is_of_the_nodes_type():
    made = sample_task(record(task_type="no known one", title=""))
    assert (made.type, made.name) == ("noknownone", "Sample")
    assert sample_task(record()).fields == {"content": "A short synthetic text."}
