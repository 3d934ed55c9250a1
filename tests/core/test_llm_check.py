"""A model tried for `code-evolver check`: rows of (what, status, found, what mends it)."""

import pytest

from code_evolver.core.dialects.wire import Failure
from code_evolver.core.llm_check import check_steps, pick_model
from code_evolver.core.llm_config import ModelRef
from tests.desk_talk import DOWN, MODELS, Listless, desk, said, sent, talk

REF = ModelRef("b0", "m")
OBEYS = said('{"zq7": 1}')


def rows_of(made, *answers, ref=REF):
    steps, rows = talk(check_steps(ref, made), made, *answers)
    return steps, {what.removeprefix(f"llm {ref} "): (status, found, mend) for what, status, found, mend in rows}


def test_all_is_well():
    _, rows = rows_of(desk(backend={"context": 4096}), MODELS, MODELS, said("ready", "length"), OBEYS)
    assert {what: row[0] for what, row in rows.items()} == dict.fromkeys(
        ["reachable", "model", "answer", "schema"], "ok"
    )
    assert "context 4096 tokens" in rows["answer"][1]


def test_a_server_that_is_down_or_refuses_the_key_ends_the_check():
    for failure in (DOWN, Failure("auth", "bad key", 401)):
        _, rows = rows_of(desk(), failure)
        assert [(what, row[0]) for what, row in rows.items()] == [("reachable", "failed")]
        assert rows["reachable"][2]


def test_a_server_without_a_list_is_judged_by_its_answer():
    _, rows = rows_of(desk(), Failure("path", "no", 404), Failure("path", "no", 404), said("ready"), OBEYS)
    assert (rows["reachable"][0], rows["answer"][0]) == ("warning", "ok")


def test_a_model_that_is_not_listed_is_a_warning_and_one_that_does_not_answer_a_failure():
    ref = ModelRef("b0", "huge")
    _, rows = rows_of(desk(), MODELS, MODELS, Failure("model", "no such model", 404), ref=ref)
    assert (rows["model"][0], rows["answer"][0]) == ("warning", "failed")
    assert "it has m, n" in rows["model"][1]
    assert "ollama pull" in rows["answer"][2]


def test_the_first_model_stands_in_where_none_is_named_and_an_empty_list_names_none():
    _, rows = rows_of(desk(tiers={"general": "b0"}), MODELS, MODELS, said("ready"), OBEYS, ref=ModelRef("b0", ""))
    assert rows["model"][1] == "m is there"
    _, rows = rows_of(desk(), b"{}", b"{}", said("ready"), OBEYS)
    assert "model" not in rows


def test_a_server_that_wants_the_other_name_of_the_cap_is_asked_again():
    renamed = Failure("parameter", "use max_completion_tokens", 400, detail="max_tokens")
    steps, rows = rows_of(desk(), MODELS, MODELS, renamed, said("ready"), OBEYS)
    assert rows["answer"][0] == "ok"
    assert sent(steps)[3].body["max_completion_tokens"] == 1


@pytest.mark.parametrize(
    ("answers", "status"), [([said("Hi"), said("{}")], "ok"), ([said("Hi"), said("Hi")], "warning")]
)
def test_what_a_server_does_with_a_schema_is_said(answers, status):
    assert rows_of(desk(), MODELS, MODELS, said("ready"), *answers)[1]["schema"][0] == status


def test_what_is_known_is_not_probed_again():
    made = desk()
    rows_of(made, MODELS, MODELS, said("ready"), OBEYS)
    _, rows = rows_of(made, MODELS, MODELS, said("ready"))
    assert rows["schema"][0] == "ok"


def test_bytes_where_an_answer_should_be_and_a_list_that_is_none_are_odd():
    _, rows = rows_of(desk(), said("odd"), MODELS, b"odd")
    assert rows["answer"][0] == "failed"


def test_a_format_without_a_list_is_judged_by_its_answer():
    _, rows = rows_of(desk(dialects={"openai": Listless()}), said("ready"), OBEYS)
    assert list(rows) == ["answer", "schema"]


def test_a_model_for_code_is_picked_before_others_and_none_that_writes_no_text():
    assert pick_model(["nomic-embed-text", "llama3", "qwen2.5-coder:7b"]) == "qwen2.5-coder:7b"
    assert pick_model(["bge-m3", "llama3"]) == "llama3"
    assert pick_model(["bge-m3"]) == ""
