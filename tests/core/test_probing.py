"""What a server has and does, found out by asking it."""

import json

import pytest

from code_evolver.core.dialects.wire import Failure
from code_evolver.core.llm_config import ModelRef
from code_evolver.core.probing import look_up, ping, probe
from tests.desk_talk import DOWN, MODELS, Listless, desk, said, sent, talk

REF = ModelRef("b0", "m")


def test_the_models_and_a_listed_context_are_read():
    made = desk(looked_up=False)
    talk(look_up(REF, made), made, json.dumps({"data": [{"id": "m", "max_model_len": 8192}]}).encode())
    assert (made.capability(REF).first_model, made.capability(REF).context) == ("m", 8192)
    assert REF in made.looked_up


def test_a_server_that_is_down_is_asked_again_the_next_time():
    made = desk(looked_up=False)
    talk(look_up(REF, made), made, DOWN)
    assert REF not in made.looked_up


def test_a_server_without_a_list_is_no_error():
    made = desk(looked_up=False)
    talk(look_up(REF, made), made, Failure("path", "no", 404))
    assert (made.capability(REF).first_model, REF in made.looked_up) == ("", True)


def test_ollama_tells_the_context_in_its_details():
    made = desk(kind="ollama", looked_up=False)
    detail = json.dumps({"model_info": {"general.architecture": "llama", "llama.context_length": 4096}}).encode()
    steps, _ = talk(look_up(REF, made), made, b'{"models": [{"name": "m:latest"}]}', detail)
    assert len(sent(steps)) == 2
    assert made.capability(REF).context == 4096
    made = desk(kind="ollama", looked_up=False)
    talk(look_up(REF, made), made, b'{"models": []}', Failure("model", "not found", 404))
    assert made.capability(REF).context is None


def test_a_context_that_is_known_is_not_asked_for_again():
    made = desk(kind="ollama", looked_up=False, backend={"context": 2048})
    steps, _ = talk(look_up(REF, made), made, b'{"models": []}')
    assert len(sent(steps)) == 1


def test_a_format_without_a_list_is_not_asked_for_one():
    made = desk(looked_up=False, dialects={"openai": Listless()})
    steps, _ = talk(look_up(REF, made), made)
    assert sent(steps) == []
    steps, _ = talk(ping("b0", made), made, b"")
    assert (sent(steps)[0].method, sent(steps)[0].url) == ("GET", "http://h0:1")


@pytest.mark.parametrize(
    ("got", "down"),
    [
        (MODELS, False),
        (Failure("auth", "no", 401), False),
        (Failure("server", "x", 500), False),
        (Failure("server", "x", 502), True),
        (DOWN, True),
    ],
)
def test_whether_a_backend_is_there(got, down):
    made = desk()
    for _ in range(3):
        made.circuits.setdefault("b0", made.circuit("b0"))
        talk(ping("b0", made), made, got)
    assert (made.down_since() is not None) == down


@pytest.mark.parametrize(
    ("answers", "level"),
    [
        ([said('{"zq7": 3}')], "schema"),
        ([said('<think>hm</think>{ "zq7" : 3}')], "schema"),
        ([said("Hello!"), said('{"hello": 1}')], "json"),
        ([said("Hello!"), said("Hello!")], "none"),
        ([Failure("schema", "no", 400), Failure("request", "no", 400)], "none"),
        ([said("<think>it thinks for too long")], "schema"),
    ],
)
def test_whether_a_server_obeys_a_schema(answers, level):
    made = desk()
    talk(probe(REF, made), made, *answers)
    assert (made.capability(REF).schema, made.capability(REF).probed) == (level, True)


def test_a_probe_that_got_no_answer_leaves_the_question_open():
    made = desk()
    talk(probe(REF, made), made, DOWN)
    assert not made.capability(REF).probed
