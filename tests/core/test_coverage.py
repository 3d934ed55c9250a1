"""A proof holds for a task with the same fields that is no larger than what was tried."""

from typing import Any

import pytest

from code_evolver.core.coverage import covers_task
from tests.made_task import made

COVERS = {"languages": 2, "fields": ["content"], "max_chars": 20, "shared_target": False}
GIVEN: dict[str, Any] = {
    "name": "A task", "fields": {"content": "Twenty letters, yes."}, "languages": (("en", "fr"), ("en", "de")),
}  # fmt: skip
TASK = made(**GIVEN)


def test_a_task_as_large_as_what_was_tried_is_covered():
    assert covers_task(COVERS, TASK)
    assert covers_task({**COVERS, "languages": 5, "max_chars": 20_000}, TASK)


@pytest.mark.parametrize(
    "change",
    [
        {"fields": {"content": "Twenty-one letters, no"}},
        {"fields": {"content": "x", "tone": "dry"}},
        {"fields": {"prompt": "x"}},
        {"languages": (("en", "fr"), ("en", "de"), ("en", "it"))},
        {"languages": (("en", "fr"), ("de", "fr"))},
        {"languages": ()},
    ],
)
def test_a_task_that_asks_for_more_or_for_something_else_is_not(change):
    assert not covers_task(COVERS, made(**{**GIVEN, **change}))


def test_shared_targets_are_covered_where_they_were_tried():
    shared = made(**{**GIVEN, "languages": (("en", "fr"), ("de", "fr"))})
    assert covers_task({**COVERS, "shared_target": True}, shared)


def test_a_record_without_covers_covers_nothing():
    assert not covers_task({}, TASK)


def test_a_task_without_text_is_covered_by_its_name():
    assert covers_task(COVERS, made(**{**GIVEN, "fields": {}}))
    assert not covers_task(COVERS, made(**{**GIVEN, "fields": {}, "name": "A name of more than twenty letters"}))
