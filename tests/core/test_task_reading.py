from hashlib import sha256
from typing import Any

import pytest

from code_evolver.core.strict_json import canonical
from code_evolver.core.task import UNTYPED, Task, read_task
from code_evolver.core.task_reading import looks_like_task

BASE = {"id": "t1", "taskName": "Notes", "llmTaskType": "summarize", "content": "text"}


def read(**fields: Any) -> Task:
    task = read_task({**BASE, **fields})
    assert isinstance(task, Task)
    return task


@pytest.mark.parametrize(
    "found",
    [
        {"id": "1", "taskName": "N", "llmTaskType": "summarize", "content": "c", "dueDate": "2024-07-27", "priority": "high"},
        {"Id": "1", "TaskName": "N", "LlmTaskType": "Summarize", "Content": "c", "DueDate": "2024-07-27", "Priority": "High"},
        {"ID": "1", "TASKNAME": "N", "LLMTaskType": "SUMMARIZE", "CONTENT": "c", "DUEDATE": "2024-07-27", "PRIORITY": "HIGH"},
        {"id": "1", "task_name": "N", "llm_task_type": "summarize", "content": "c", "due_date": "2024-07-27", "priority": "HIGH"},
        {"task-id": "1", "task-name": "N", "llm-task-type": "summarize", "content": "c", "due-date": "2024-07-27", "priority": "high "},
        {"taskId": 1, "name": "N", "lLMTaskType": "summarization", "content": "c", "deadline": 1722038400, "priority": "urgent"},
        {"_id": 1.0, "name": "N", "type": 0, "content": "c", "due": 1722038400000, "priority": "critical"},
    ],
)  # fmt: skip
def test_any_casing_is_the_same_task(found):
    task = read_task(found)
    assert isinstance(task, Task)
    assert (task.id, task.name, task.type, task.fields, task.due, task.priority) == (
        "1", "N", "summarize", {"content": "c"}, 1722038400.0, 0)  # fmt: skip


@pytest.mark.parametrize(
    ("given", "name", "wanted"),
    [
        ("Summarize", "x", "summarize"),
        ("Text Summarization", "x", "summarize"),
        ("summarisation", "x", "summarize"),
        ("translation", "x", "translate"),
        ("GenerateContent", "x", "generate"),
        (0, "x", "summarize"),
        (1, "x", "generate"),
        (2, "x", "translate"),
        ("2", "x", "translate"),
        (2.0, "x", "translate"),
        (0, "Translate the sign", "translate"),
        ("0", "AI Generated Email", "generate"),
        (0, "History of translation", "summarize"),
        (17, "Notes", "17"),
        (True, "Notes", UNTYPED),
        (None, "LLM Summarization for Blog Post", "summarize"),
        (None, "AI Generated Email Content", "generate"),
        (None, "Translation of Product Description", "translate"),
        (None, "Monthly report summary", "summarize"),
        (None, "SummarizeBlogPost", "summarize"),
        (None, "Notes", UNTYPED),
        ("", "Summarize notes", "summarize"),
        ("  ", "Summarize notes", "summarize"),
        ({"name": "summarize"}, "Notes", UNTYPED),
        ("Sentiment Analysis!", "x", "sentimentanalysis"),
        ("sentiment_analysis", "x", "sentiment_analysis"),
        ("классификация", "x", "классификация"),
        ("z" * 100, "x", "z" * 64),
        ("summarize", "Translate the sign", "summarize"),
    ],
)
def test_the_type_comes_from_the_type_field_or_the_verb_of_the_name(given, name, wanted):
    assert read(llmTaskType=given, taskName=name).type == wanted


def test_a_null_type_field_gives_way_to_another():
    assert read(llmTaskType=None, type="translate").type == "translate"


def test_a_serialisers_type_field_is_not_the_task_type():
    assert read(**{"$type": "My.Task, My", "llmTaskType": "generate"}).type == "generate"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("x-1", "x-1"), (4711, "4711"), (4711.0, "4711"), (1.5, "1.5"), (0, "0"), ("  a ", "a"), ("y" * 256, "y" * 256)],
)
def test_a_given_id_is_kept_as_text(given, wanted):
    assert (read(id=given).id, read(id=given).id_given) == (wanted, True)


@pytest.mark.parametrize("given", [None, "", "   ", True, [], {"a": 1}, "y" * 257, float("inf"), 10**400])
def test_an_id_that_cannot_be_used_is_made_from_the_content(given):
    task = read(id=given)
    assert task.id == "task-" + task.digest[:16]
    assert not task.id_given


def test_halves_of_surrogate_pairs_never_reach_a_name_an_id_or_a_text():
    task = read(id="a\ud800", taskName="n\udc00", content="c\ud83d")
    assert (task.id, task.name, task.fields) == ("a?", "n?", {"content": "c?"})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("x", "x"),
        (5, "5"),
        (1.5, "1.5"),
        (True, "true"),
        (["a", 2], "a\n2"),
        ({"b": 1, "a": [2]}, '{"a":[2],"b":1}'),
        ("", ""),
    ],
)
def test_content_of_any_kind_becomes_text(given, wanted):
    assert read(content=given).fields == {"content": wanted}


def test_null_content_is_no_field():
    assert read(content=None).fields == {}


def test_only_content_fields_are_fields_and_everything_is_kept_in_raw():
    found = {**BASE, "tenant": "t", "tone": "warm", "Audience": "children"}
    task = read_task(found)
    assert isinstance(task, Task)
    assert task.fields == {"content": "text", "tone": "warm", "audience": "children"}
    assert task.raw == found


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("2024-07-27T14:30:00.000Z", 1722090600.0),
        ("2024-07-27T14:30:00.0000000Z", 1722090600.0),
        ("2024-07-27T16:30:00+02:00", 1722090600.0),
        ("2024-07-27T14:30:00", 1722090600.0),
        ("2024-07-27", 1722038400.0),
        (1722090600, 1722090600.0),
        (1722090600000, 1722090600.0),
        (1722090600.5, 1722090600.5),
        ("/Date(1722090600000)/", 1722090600.0),
        ("/Date(1722090600000+0200)/", 1722090600.0),
        ("soon", None),
        ("0001-01-01T00:00:00+14:00", -62135647200.0),
        ("9999-12-31T23:59:59-14:00", 253402351199.0),
        ("2024-13-45", None),
        (float("nan"), None),
        (1e300, None),
        (-5, None),
        (True, None),
        ([], None),
        (None, None),
        ("2" * 100, None),
    ],
)
def test_a_due_date_is_read_or_left_out(given, wanted):
    assert read(dueDate=given).due == wanted


@pytest.mark.parametrize(
    ("given", "wanted"), [("High", 0), ("medium", 1), ("LOW", 2), ("odd", 1), (17, 1), (None, 1), ([], 1)]
)
def test_an_odd_priority_is_medium(given, wanted):
    assert read(priority=given).priority == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("completed", True), ("Complete", True), ("DONE", True), ("Cancelled", True), ("canceled ", True), ("pending", False),
     ("", False), (3, False), (None, False), ("done" * 100, False)],
)  # fmt: skip
def test_a_task_that_the_hub_calls_done_is_closed(given, wanted):
    assert read(status=given).closed is wanted


def test_status_dates_and_priority_are_no_content():
    plain = read().digest
    assert read(Status="x", dueDate="2024", PRIORITY=1, created_at="now", sentAt=5, LastModified="x").digest == plain
    assert read(content="other").digest != plain
    assert read(tenant="other").digest != plain


def test_key_order_does_not_change_the_digest():
    turned = read_task(dict(reversed(BASE.items())))
    assert isinstance(turned, Task)
    assert turned.digest == read().digest


def test_the_digest_is_that_of_the_canonical_object():
    assert read().digest == sha256(canonical(BASE).encode()).hexdigest()


def test_not_a_number_costs_no_task():
    assert read(weight=float("nan")).digest == read(weight=float("nan")).digest


def test_languages_are_read_from_the_first_field_that_has_some():
    assert read(translationLanguages="odd:", targetLanguages=["fr"], sourceLanguage="en").languages == (("en", "fr"),)
    assert read(translationLanguages=[], languages=5).languages == ()


def test_two_keys_that_are_one_the_first_value_stays():
    task = read_task({"id": None, "Id": "x", "taskName": "", "content": "first", "Content": "second"})
    assert isinstance(task, Task)
    assert (task.id, task.fields) == ("x", {"content": "first"})


def test_many_or_long_keys_are_read_as_well():
    assert read(**{"k" * 5000: 1, **{f"f{number}": 1 for number in range(300)}}).id == "t1"


@pytest.mark.parametrize(
    "found", [{}, {"id": 1}, {"id": 1, "taskName": None, "type": None}, {"id": 1, "priority": "high"}]
)
def test_an_object_that_says_nothing_is_no_task(found):
    assert isinstance(read_task(found), str)
    assert not looks_like_task(found)


def test_an_id_from_outside_stands_in_for_a_missing_one():
    task = read_task({"taskName": "Summarize x"}, "key")
    assert isinstance(task, Task)
    assert (task.id, task.id_given) == ("key", True)
