"""One question's way to a model, decided without sending anything."""

from dataclasses import replace

import pytest

from code_evolver.core.asking import LARGEST_CAP, asking
from code_evolver.core.dialects.wire import Capability, Failure
from code_evolver.core.errors import BudgetSpent, ModelRefused, ModelTruncated, ModelUnavailable
from code_evolver.core.llm_config import LlmConfig, ModelRef
from code_evolver.core.model_desk import Desk, Pause, Send
from code_evolver.core.question import Reply
from code_evolver.core.tiers import Circuit
from tests.desk_talk import ASK, DIALECTS, DOWN, MODELS, desk, said, sent, talk, told

REF = ModelRef("b0", "m")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
OBEYS = said('{"zq7": 1}')


def ask(made, *answers, question=ASK, **more):
    return talk(asking(question, made), made, *answers, **more)


def caps(steps):
    return [request.body["max_tokens"] for request in sent(steps) if request.body]


def test_an_answer_ends_it_and_is_told_with_what_it_cost():
    made = desk()
    steps, reply = ask(made, said("<think>hm</think>print(1)\n", model="real"))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.backend, reply.model, reply.tier) == ("print(1)", "b0", "real", "general")
    (event,) = told(steps, "llm_responded")
    assert (event["tokens_in"], event["tokens_out"], event["seconds"], event["tokens_per_second"]) == (
        10,
        5,
        0.25,
        20.0,
    )
    assert (made.spent.calls, made.spent.tokens) == (1, 15)


def test_no_speed_is_told_where_the_server_counts_nothing():
    steps, _ = ask(desk(), said("x", tokens_in=None, tokens_out=None))
    assert told(steps, "llm_responded")[0]["tokens_per_second"] is None


def test_without_a_backend_it_says_how_to_have_one():
    made = Desk(LlmConfig(), DIALECTS.__getitem__, lambda: 0.0, lambda: 0.5)
    _, error = ask(made)
    assert isinstance(error, ModelUnavailable)
    assert "CODE_EVOLVER_LLM_URL" in error.hint


def test_the_next_model_of_the_tier_is_asked_and_an_open_circuit_is_passed_over():
    made = desk(backends=2)
    made.circuits["b0"] = Circuit("open", 3, 990.0, opens_at=2000.0)
    steps, reply = ask(made, said("x"))
    assert reply.backend == "b1"
    assert [step.backend.name for step in steps if isinstance(step, Send)] == ["b1"]


def test_all_down_is_told_once_until_one_answers():
    made = desk()
    steps, error = ask(made, DOWN, DOWN, DOWN)
    assert isinstance(error, ModelUnavailable)
    assert len(told(steps, "llm_unavailable")) == 1
    steps, _ = ask(made)  # the circuit is open: nothing is sent
    assert told(steps, "llm_unavailable") == []
    made.now.now += 60
    ask(made, said("x"))
    assert not made.told_unavailable


def test_nothing_more_is_asked_past_the_deadline_of_the_question_or_the_task():
    made = desk(backends=2, deadline_seconds=1)
    steps, error = ask(made, Failure("auth", "no", 401), seconds=2.0)
    assert isinstance(error, ModelRefused)
    made = desk()
    steps, error = ask(made, DOWN, question=replace(ASK, until=1000.3))
    assert "time for this question ran out" in error.message
    assert [step.within for step in steps if isinstance(step, Send)] == [1.0]


def test_a_spent_budget_stops_and_is_told_once():
    made = desk(max_tokens=15)
    ask(made, said("x"))
    steps, error = ask(made)
    assert isinstance(error, BudgetSpent)
    assert [event["kind"] for event in told(steps, "llm_failed")] == ["budget"]
    steps, error = ask(made)
    assert isinstance(error, BudgetSpent)
    assert told(steps, "llm_failed") == []


def test_a_broken_connection_is_tried_once_more_on_a_fresh_one_without_a_pause():
    steps, reply = ask(desk(), Failure("read", "reset"), said("x"))
    assert reply.text == "x"
    assert [step.fresh for step in steps if isinstance(step, Send)] == [False, True]
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.0]


def test_loading_is_waited_for_and_burns_no_attempt():
    loading = Failure("loading", "Loading model", 503)
    steps, reply = ask(desk(), *[loading] * 6, said("x"))
    assert reply.text == "x"
    assert {event["attempt"] for event in told(steps, "llm_failed")} == {1}


def test_a_cut_answer_is_asked_for_again_with_a_doubled_cap_twice_and_its_cost_is_told():
    cut = said("```python", "length")
    steps, error = ask(desk(), cut, cut, cut)
    assert isinstance(error, ModelTruncated)
    assert caps(steps) == [100, 200, 400]
    assert [event["tokens_out"] for event in told(steps, "llm_failed")] == [5, 5, 5]


def test_the_cap_grows_no_further_than_the_context_or_the_largest():
    made = desk(backend={"context": 256})
    steps, _ = ask(made, said("x", "length"), said("y", "length"))
    assert caps(steps)[0] == 100
    assert caps(steps)[1] < 200
    steps, _ = ask(desk(), said("x", "length"), question=replace(ASK, max_tokens=LARGEST_CAP))
    assert caps(steps) == [LARGEST_CAP]


def test_an_answer_of_unknown_end_that_fills_the_cap_was_cut():
    _, error = ask(desk(), *[said("x", "unknown", tokens_out=400)] * 3)
    assert isinstance(error, ModelTruncated)
    _, reply = ask(desk(), said("x", "unknown", tokens_out=None))
    assert reply.text == "x"


def test_an_empty_answer_is_asked_for_once_more_and_the_reasoning_beside_it_is_told():
    steps, error = ask(desk(), said("<think>", reasoning=9), said(" "))
    assert isinstance(error, ModelRefused)
    assert [event["error"] for event in told(steps, "llm_failed")] == [
        "the answer is empty beside 9 characters of reasoning", "the answer is empty",
    ]  # fmt: skip


def test_what_is_no_answer_at_all_is_odd():
    steps, _ = ask(desk(), b"bytes", said("x"))
    assert told(steps, "llm_failed")[0]["kind"] == "odd"


def test_a_schema_is_probed_once_and_its_data_given():
    made = desk()
    question = replace(ASK, schema=SCHEMA)
    _, reply = ask(made, OBEYS, said('{"n": 4}'), question=question)
    assert reply.data == {"n": 4}
    _, reply = ask(made, said('{"n": 5}'), question=question)
    assert reply.data == {"n": 5}


def test_the_server_is_asked_what_it_has_where_that_is_not_known():
    made = desk(tiers={"general": "b0"}, looked_up=False)
    steps, reply = ask(made, MODELS, said("x"))
    assert reply.model == "m"
    assert sent(steps)[1].body["model"] == "m"


def test_a_schema_that_is_refused_or_not_kept_is_asked_for_more_weakly():
    question = replace(ASK, schema=SCHEMA)
    made = desk()
    _, reply = ask(made, OBEYS, Failure("schema", "no", 400), said('{"n": 1}'), question=question)
    assert reply.data == {"n": 1}
    assert made.capability(REF).schema == "json"
    made = desk()
    made.capabilities[REF] = Capability(schema="none", probed=True)
    _, error = ask(made, Failure("schema", "no", 400), question=question)
    assert isinstance(error, ModelRefused)


def test_one_odd_answer_is_a_slip_and_three_questions_in_a_row_are_the_server():
    question = replace(ASK, schema=SCHEMA)
    made = desk()
    odd, good = said('{"n": "x"}'), said('{"n": 1}')
    steps, error = ask(made, OBEYS, odd, odd, odd, question=question)
    assert isinstance(error, ModelRefused)
    assert [request.body.get("response_format", {}).get("type") for request in sent(steps)[1:]] == [
        "json_schema",
        "json_object",
        None,
    ]
    ask(made, odd, good, question=question)
    assert made.capability(REF).schema == "schema"
    ask(made, good, question=question)  # the count begins anew
    for _ in range(3):
        assert made.capability(REF).schema == "schema"
        ask(made, odd, good, question=question)
    assert made.capability(REF).schema == "json"


def test_parameters_that_a_server_refuses_are_left_out_or_renamed():
    made = desk()
    steps, reply = ask(
        made,
        Failure("parameter", "use max_completion_tokens", 400, detail="max_tokens"),
        Failure("parameter", "temperature", 400, detail="temperature"),
        said("x"),
    )
    assert reply.text == "x"
    bodies = [request.body for request in sent(steps)]
    assert "max_completion_tokens" in bodies[1]
    assert "temperature" not in bodies[2]
    _, error = ask(made, Failure("parameter", "temperature", 400, detail="temperature"))
    assert isinstance(error, ModelRefused)


def test_a_prompt_over_the_context_gives_way_in_its_order_and_says_what_was_left_out():
    question = replace(
        ASK, user="x" * 900, shorter=(("nothing", "y" * 950), ("examples", "y" * 500), ("texts", "z" * 30))
    )
    made = desk()
    steps, reply = ask(made, Failure("context", "too long", 400, detail="200"), said("ok"), question=question)
    assert reply.text == "ok"
    assert told(steps, "llm_responded")[0]["left_out"] == "texts"
    assert made.capability(REF).context == 200
    _, error = ask(desk(), Failure("context", "too long", 400), question=replace(ASK, user="x" * 900))
    assert isinstance(error, ModelTruncated)


def test_a_prompt_is_shortened_or_the_cap_lowered_before_it_is_sent_where_the_context_is_known():
    made = desk(backend={"context": 400})
    question = replace(ASK, user="x" * 3000, max_tokens=300, shorter=(("examples", "y" * 300),))
    steps, _ = ask(made, said("ok"), question=question)
    assert "y" * 300 in sent(steps)[0].body["messages"][1]["content"]
    assert caps(steps)[0] < 300


def test_a_prompt_that_filled_the_whole_context_was_cut_in_silence():
    made = desk(backend={"context": 2048})
    _, error = ask(made, said("x", tokens_in=2048))
    assert isinstance(error, ModelTruncated)
    assert "whole context of 2048 tokens" in error.message


def test_ollamas_window_is_widened_for_the_same_prompt_before_the_prompt_is_shortened():
    made = desk(kind="ollama")
    question = replace(ASK, user="x" * 3000)
    first = (
        made.dialect("ollama")
        .build(question, "m", made.config.backends["b0"], made.capability(REF))
        .body["options"]["num_ctx"]
    )
    steps, reply = ask(made, said("x", tokens_in=first), said("ok", tokens_in=1500), question=question)
    assert reply.text == "ok"
    windows = [request.body["options"]["num_ctx"] for request in sent(steps)]
    assert windows[1] > windows[0] == first


def test_how_many_bytes_a_token_has_is_learnt_from_long_prompts():
    made = desk()
    ask(made, said("x", tokens_in=500), question=replace(ASK, user="x" * 1991))
    assert made.capability(REF).bytes_per_token == pytest.approx(4.0)
