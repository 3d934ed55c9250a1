import pytest

from code_evolver.core.keys import by_folded_key, first, fold


@pytest.mark.parametrize(
    "key", ["llmTaskType", "LLMTaskType", "lLMTaskType", "llm_task_type", "llm-task-type", "LLM TASK TYPE"]
)
def test_any_casing_folds_to_one_key(key):
    assert fold(key) == "llmtasktype"


def test_a_serialisers_keys_stay_apart():
    assert (fold("$type"), fold("@id"), fold("_id")) == ("$type", "$id", "id")


def test_a_long_key_stays_as_it_is():
    assert fold("A" * 65) == "A" * 65


def test_of_keys_that_fold_alike_the_first_that_is_not_null_stays():
    assert by_folded_key({"Id": None, "id": 1, "ID": 2, "x": 3}) == {"id": 1, "x": 3}


def test_first_passes_over_null():
    assert first({"a": None, "b": 0}, ("a", "b")) == 0
    assert first({}, ("a",)) is None
