import pytest

from code_evolver.core.english.answers import check_answer
from code_evolver.core.errors import InputError
from tests.core.english.requests import H

REQUEST = f'Handle what {H} sends for 5 short minutes under "LLMTasks", keep a copy in the file tasks.json'


def test_an_answer_that_says_what_the_words_say_is_completed_and_kept():
    answer = {
        "hub_url": H.upper(),
        "hub_name": "LLMTasks",
        "duration_seconds": 300,
        "auto_generate_workflows": True,
        "output_file": "tasks.json",
    }
    assert check_answer(REQUEST, answer) == {**answer, "hub_url": H, "duration_seconds": 300.0}


def test_an_empty_answer_gives_what_the_rules_read():
    assert check_answer(f"listen to {H}", {})["hub_url"] == H


@pytest.mark.parametrize(
    "answer",
    [
        {"hub_url": "http://localhost:5000/other"},
        {"hub_url": "http://evil.example/taskhub"},
        {"hub_url": "https://localhost:5000/taskhub"},
        {"hub_url": None},
        {"hub_name": "OtherHub"},
        {"hub_name": "LLM"},
        {"hub_name": "LLMTask"},
        {"hub_name": 3},
        {"output_file": "other.json"},
        {"output_file": "asks.json"},
        {"output_file": "/tmp/tasks.json"},
        {"output_file": "LLMTasks"},
        {"output_file": ["tasks.json"]},
        {"duration_seconds": 301},
        {"duration_seconds": 0},
        {"duration_seconds": -300},
        {"duration_seconds": float("nan")},
        {"duration_seconds": float("inf")},
        {"duration_seconds": 10**400},
        {"duration_seconds": "300"},
        {"duration_seconds": True},
        {"auto_generate_workflows": "yes"},
        {"auto_generate_workflows": 1},
        {"auto_generate_workflows": None},
        {"access_token": "LLMTasks"},
        {"headers": {}},
        {"workspace": "tasks.json"},
        {"listen": "LLMTasks"},
        {"listen": ["Invented"]},
        {"listen": [None]},
        {"subscribe": [{"method": "Invented"}]},
        {"subscribe": [{"method": "LLMTasks", "arguments": ["invented"]}]},
        {"subscribe": [{"method": "LLMTasks", "arguments": [], "more": 1}]},
        {"subscribe": [{"arguments": []}]},
        {"subscribe": {"method": "LLMTasks"}},
        {"subscribe": [{"method": "LLMTasks", "arguments": "LLMTasks"}]},
        {"client": "other"},
        {"llm": "on"},
        {3: 4},
    ],
    ids=str,
)
def test_an_answer_with_anything_that_the_words_do_not_hold_is_refused(answer):
    with pytest.raises(InputError) as caught:
        check_answer(REQUEST, answer)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (f"listen to {H} for 5 minutes, with 7 workers", {"duration_seconds": 7}),
        (f"listen to {H} without workflows, with 7 workers", {"auto_generate_workflows": True}),
        (f"listen to {H} with 7 workers, docs at http://docs.example/x", {"hub_url": "http://docs.example/x"}),
        (f"save the tasks of {H} to a.json, with 7 workers", {"output_file": None}),
    ],
)
def test_an_answer_may_not_contradict_what_the_words_say_for_sure(request_, answer):
    with pytest.raises(InputError):
        check_answer(request_, answer)


def test_an_answer_does_not_mend_a_request_that_is_wrong():
    with pytest.raises(InputError, match="until noon"):
        check_answer(f"listen to {H} until noon", {"duration_seconds": None})


def test_calls_and_names_of_the_request_may_be_used():
    request = f"join the room LLMTasks through JoinRoom at {H}, mind DataUpdate"
    answer = {
        "subscribe": [{"method": "JoinRoom", "arguments": ["LLMTasks", "{hub_name}"]}],
        "listen": ["DataUpdate"],
        "duration_seconds": None,
        "output_file": None,
        "client": "auto",
    }
    assert {key: check_answer(request, answer)[key] for key in answer} == answer
