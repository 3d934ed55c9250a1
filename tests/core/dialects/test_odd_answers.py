"""Answers as servers really gave them (research: llm-servers.md, prior-art.md 3), read by each dialect."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from code_evolver.core.dialects import MODULES, anthropic, azure, ollama, openai
from code_evolver.core.dialects.wire import Answer, Capability, Failure, classify, whole
from code_evolver.core.llm_config import Backend
from code_evolver.ports import Ask, Usage

DIALECTS: dict[str, Any] = {"ollama": ollama, "openai": openai, "azure": azure, "anthropic": anthropic}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
ASK = Ask("plan", "general", "Be brief.", "Count.", SCHEMA, 100, 0.5)


def chat(message: Any, finish: Any = "stop", usage: Any = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage, **more}


@dataclass
class Case:
    about: str
    dialect: str
    body: Any
    expected: Answer


GOOD = [
    Case("llama.cpp", "openai", chat({"role": "assistant", "content": "hi"}, "stop", {"prompt_tokens": 28, "completion_tokens": 21}, model="tiny"),
         Answer("hi", "stop", Usage(28, 21), "tiny")),
    Case("content null with reasoning", "openai", chat({"content": None, "reasoning_content": "hmm"}), Answer("", "stop", reasoning=3)),
    Case("vLLM newer name of reasoning", "openai", chat({"content": "x", "reasoning": "hmm!"}), Answer("x", "stop", reasoning=4)),
    Case("content as parts", "openai", chat({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}), Answer("ab")),
    Case("cut", "openai", chat({"content": '{"workflow_'}, "length"), Answer('{"workflow_', "length")),
    Case("cut, in another server's word", "openai", chat({"content": "x"}, "max_tokens"), Answer("x", "length")),
    Case("LM Studio without finish_reason and usage", "openai", {"choices": [{"message": {"content": "x"}}]}, Answer("x", "unknown")),
    Case("usage with odd numbers", "openai", chat({"content": "x"}, usage={"prompt_tokens": "3", "completion_tokens": -1}), Answer("x")),
    Case("Azure with filter results", "azure", chat({"content": "x", "refusal": None}, "stop", {"prompt_tokens": 1, "completion_tokens": 2}, prompt_filter_results=[{}]),
         Answer("x", "stop", Usage(1, 2))),
    Case("ollama", "ollama", {"model": "m", "message": {"role": "assistant", "content": "hi"}, "done_reason": "stop", "done": True, "load_duration": 500000000,
                              "prompt_eval_count": 7, "eval_count": 3}, Answer("hi", "stop", Usage(7, 3, 0.0, 0.5), "m")),
    Case("ollama cut", "ollama", {"message": {"content": "h"}, "done_reason": "length", "done": True}, Answer("h", "length")),
    Case("ollama thinking", "ollama", {"message": {"content": "h", "thinking": "abc"}, "done": True}, Answer("h", reasoning=3)),
    Case("anthropic", "anthropic", {"type": "message", "content": [{"type": "thinking", "thinking": "ab"}, {"type": "text", "text": "hi"}], "stop_reason": "end_turn",
                                    "usage": {"input_tokens": 1, "cache_read_input_tokens": 66, "output_tokens": 2}, "model": "c"},
         Answer("hi", "stop", Usage(67, 2), "c", 2)),
    Case("anthropic cut", "anthropic", {"content": [{"type": "text", "text": "h"}], "stop_reason": "max_tokens"}, Answer("h", "length")),
    Case("anthropic over the window", "anthropic", {"content": [], "stop_reason": "model_context_window_exceeded"}, Answer("", "length")),
    Case("anthropic with nothing to say", "anthropic", {"content": [], "stop_reason": "end_turn"}, Answer("")),
]  # fmt: skip


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.about)
def test_an_answer_is_read_as_it_is(case):
    assert DIALECTS[case.dialect].read(200, {}, json.dumps(case.body).encode()) == case.expected


def test_a_stream_that_nobody_asked_for_is_put_together():
    lines = [{"choices": [{"delta": {"role": "assistant", "content": None}}]}, {"choices": [{"delta": {"content": "a"}}]},
             {"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]}, {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}]  # fmt: skip
    body = b"\n\n".join(b"data: " + json.dumps(line).encode() for line in lines)
    assert openai.read(200, {}, body + b"\n\ndata: [DONE]\n\n") == Answer("ab", "stop", Usage(2, 1))
    assert openai.read(200, {}, body[: body.index(b'"stop"')].rsplit(b"data:", 1)[0]) == Answer("a", "length")
    rows = [{"message": {"content": "a"}, "done": False}, {"message": {"content": "b"}, "done": True, "eval_count": 2}]
    assert ollama.read(200, {}, b"\n".join(json.dumps(row).encode() for row in rows)) == Answer(
        "ab", "stop", Usage(None, 2)
    )
    assert ollama.read(200, {}, b"\n".join([json.dumps(rows[0]).encode()] * 2)) == Answer("aa", "length")


def error(dialect: str, status: int, body: Any, kind: str, words: str = "", **headers: str) -> tuple[Any, ...]:
    return dialect, status, body if isinstance(body, bytes) else json.dumps(body).encode(), kind, words, headers


BAD = [
    error("openai", 400, {"error": {"code": 400, "message": "request (30026 tokens) exceeds the available context size (2048 tokens), try increasing it",
                                    "type": "exceed_context_size_error", "n_prompt_tokens": 30026, "n_ctx": 2048}}, "context", "exceeds the available"),
    error("openai", 400, {"error": {"code": 400, "message": "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at #: unrecognized type nonsense", "type": "invalid_request_error"}}, "schema"),
    error("openai", 401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}, "auth", "Invalid API Key"),
    error("openai", 404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, "path"),
    error("openai", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "loading"),
    error("openai", 500, {"error": {"message": "1 validation error:\n {'type': 'literal_error', 'loc': ('body','response_format','type'), 'msg': \"Input should be 'text' or 'json_object'\"", "type": "internal_server_error", "param": None, "code": None}}, "schema"),
    error("openai", 400, {"error": {"message": "This model's maximum context length is 2048 tokens. However, you requested 30537 tokens", "type": "invalid_request_error", "code": "context_length_exceeded"}}, "context"),
    error("openai", 400, {"error": {"message": "/chat/completions: Invalid model name passed in model=no-such-model. Call `/v1/models`", "code": "400"}}, "model"),
    error("openai", 429, {"error": {"message": "litellm.RateLimitError: this is a mock rate limit error", "type": "throttling_error", "code": "429"}}, "rate"),
    error("openai", 429, {"error": {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota", "code": "insufficient_quota"}}, "quota"),
    error("openai", 400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "code": "unsupported_parameter"}}, "parameter"),
    error("openai", 400, {"error": {"message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported."}}, "parameter"),
    error("openai", 404, {"error": {"message": "The model `gpt-9` does not exist or you do not have access to it.", "code": "model_not_found"}}, "model"),
    error("openai", 404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}, "model"),
    error("openai", 422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, "request", "Field required"),
    error("openai", 500, b"Internal Server Error", "server", "Internal Server Error"),
    error("openai", 502, b"<html><body>502 Bad Gateway</body></html>", "server", "502 Bad Gateway"),
    error("openai", 302, b"", "path"),
    error("openai", 200, {"error": {"message": "upstream said no"}}, "request", "upstream said no"),
    error("openai", 200, b"", "odd"),
    error("openai", 200, {"choices": []}, "odd"),
    error("openai", 200, b"not json", "odd"),
    error("openai", 200, chat({"content": None, "refusal": "I will not"}), "filter", "I will not"),
    error("openai", 200, chat({"content": ""}, "content_filter"), "filter"),
    error("openai", 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}, "schema"),
    error("openai", 400, {"error": {"message": "No models loaded. Please load a model in the developer page", "type": "invalid_request_error"}}, "model"),
    error("azure", 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, "model"),
    error("azure", 404, {"error": {"code": "404", "message": "Resource not found"}}, "path"),
    error("azure", 401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid"}, "auth", "Unauthorized"),
    error("azure", 400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, "filter"),
    error("azure", 429, {"error": {"code": "429", "message": "Requests have exceeded token rate limit of your current pricing tier. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."}}, "rate", **{"retry-after-ms": "2500", "retry-after": "3"}),
    error("anthropic", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your rate limit"}}, "rate", **{"retry-after": "12"}),
    error("anthropic", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "limit", "details": {"error_code": "enforced_spend_limit_reached"}}}, "quota"),
    error("anthropic", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "server"),
    error("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API"}}, "quota"),
    error("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}, "context"),
    error("anthropic", 404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}}, "model"),
    error("anthropic", 413, {"type": "error", "error": {"type": "request_too_large", "message": "Request exceeds the maximum allowed number of bytes"}}, "context"),
    error("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "output_config: Extra inputs are not permitted"}}, "schema"),
    error("anthropic", 200, {"content": [], "stop_reason": "refusal"}, "filter"),
    error("anthropic", 200, {"completion": "old"}, "odd"),
    error("ollama", 404, {"error": 'model "no-such-model" not found, try pulling it first'}, "model", "try pulling it first"),
    error("ollama", 404, b"404 page not found", "path"),
    error("ollama", 500, {"error": "invalid JSON schema in format"}, "schema"),
    error("ollama", 500, {"error": 'invalid format: "x"; expected "json" or a valid JSON Schema object'}, "schema"),
    error("ollama", 500, {"error": "llama runner process has terminated: exit status 2"}, "server"),
    error("ollama", 503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, "server"),
    error("ollama", 500, {"error": "llm server loading model"}, "loading"),
    error("ollama", 200, b'{"message":{"content":"a"},"done":false}\n{"error":"an error was encountered while running the model"}\n', "server", "an error was encountered"),
    error("ollama", 200, {"response": "old"}, "odd"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "status", "body", "kind", "words", "headers"), BAD)
def test_an_error_is_told_apart_with_the_servers_own_words(dialect, status, body, kind, words, headers):
    failure = DIALECTS[dialect].read(status, headers, body)
    assert isinstance(failure, Failure)
    assert failure.kind == kind
    assert words in failure.words
    assert len(failure.words) <= 300 * 6


def test_what_a_server_says_of_time_and_limits_is_kept():
    wait = openai.read(429, {"retry-after-ms": "2500", "retry-after": "3"}, b"{}")
    assert isinstance(wait, Failure)
    assert wait.retry_after == "2.5"
    context = openai.read(
        400, {}, json.dumps({"error": {"type": "exceed_context_size_error", "message": "m", "n_ctx": 2048}}).encode()
    )
    assert isinstance(context, Failure)
    assert context.detail == "2048"
    parameter = openai.read(
        400, {}, b'{"error": {"message": "\'max_tokens\' is not supported, use max_completion_tokens"}}'
    )
    assert isinstance(parameter, Failure)
    assert parameter.detail == "max_tokens"


def test_a_servers_words_cannot_drive_a_terminal_and_are_cut():
    failure = openai.read(500, {}, b"\x1b[31mred\x07 " + b"x" * 5000)
    assert isinstance(failure, Failure)
    assert "\x1b" not in failure.words
    assert len(failure.words) < 400


@pytest.mark.parametrize("status", [400, 418, 451])
def test_any_other_refusal_is_not_tried_again(status):
    assert classify(status, "no") == "request"


def test_every_type_of_the_configuration_has_a_dialect():
    assert {name: module.__name__ for name, module in DIALECTS.items()} == dict(MODULES)


OPENAI = Backend("b", "openai", "https://h/v1")


def test_openai_gets_a_strict_schema_and_no_key_in_the_request():
    request = openai.build(ASK, "m", OPENAI, Capability())
    assert request.url == "https://h/v1/chat/completions"
    assert (request.key_header, request.key_prefix) == ("authorization", "Bearer ")
    assert request.body is not None
    assert request.body["response_format"]["json_schema"] == {"name": "answer", "schema": SCHEMA, "strict": True}
    assert request.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (request.body["max_tokens"], request.body["temperature"], request.body["stream"]) == (100, 0.5, False)


def test_openai_adapts_to_what_is_known_of_a_model():
    body = openai.build(
        ASK, "m", OPENAI, Capability(schema="json", cap_key="max_completion_tokens", temperature=False)
    ).body
    assert body is not None
    assert body["response_format"] == {"type": "json_object"}
    assert body["max_completion_tokens"] == 100
    assert "temperature" not in body
    assert "max_tokens" not in body
    assert "response_format" not in (openai.build(ASK, "m", OPENAI, Capability(schema="none")).body or {})


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (SCHEMA, True),
        ({**SCHEMA, "required": []}, False),
        ({"type": "object"}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
    ],
)
def test_strict_is_only_said_of_schemas_that_openai_takes_strictly(schema, strict):
    assert openai.strict_enough(schema) is strict


def test_a_bare_host_is_completed_and_another_path_is_kept():
    assert openai.base(Backend("b", "openai", "http://h:8080")) == "http://h:8080/v1"
    assert openai.base(Backend("b", "openai", "http://h/api/v3")) == "http://h/api/v3"


def test_azure_puts_deployment_and_version_into_the_address():
    request = azure.build(ASK, "my gpt", Backend("b", "azure", "https://r.openai.azure.com"), Capability())
    assert (
        request.url == "https://r.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
    )
    assert (request.key_header, request.key_prefix) == ("api-key", "")
    assert "model" not in (request.body or {})
    newer = azure.build(ASK, "m", Backend("b", "azure", "https://r.openai.azure.com/openai/v1"), Capability())
    assert newer.url == "https://r.openai.azure.com/openai/v1/chat/completions"
    assert (newer.body or {})["model"] == "m"


@pytest.mark.parametrize("url", ["https://h", "https://h/v1"])
def test_anthropic_gets_the_system_text_at_the_top(url):
    request = anthropic.build(ASK, "c", Backend("b", "anthropic", url), Capability())
    assert request.url == "https://h/v1/messages"
    assert request.key_header == "x-api-key"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.body is not None
    assert request.body["system"] == "Be brief."
    assert request.body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert [one["role"] for one in request.body["messages"]] == ["user"]


def test_ollamas_window_is_sized_to_the_prompt_and_never_shrinks():
    backend = Backend("b", "ollama", "http://h:11434/v1")
    request = ollama.build(ASK, "m", backend, Capability())
    assert request.url == "http://h:11434/api/chat"
    assert request.body is not None
    assert request.body["options"] == {"num_ctx": 4096, "num_predict": 100, "temperature": 0.5}
    assert request.body["format"] == SCHEMA
    long = Ask("code", "general", "", "x" * 30_000)
    assert ollama.window(long, Capability()) == 16_384
    assert ollama.window(ASK, Capability(window=16_384)) == 16_384
    assert ollama.window(long, Capability(context=8192)) == 8192


def test_models_and_contexts_are_read_from_the_lists():
    llama = b'{"models":[{"name":"t"}],"data":[{"id":"t","meta":{"n_ctx":2048,"n_ctx_train":4096}}]}'
    assert [(one.name, one.context) for one in openai.read_models(llama)] == [("t", 2048)]
    assert [(one.name, one.context) for one in openai.read_models(b'{"data":[{"id":"v","max_model_len":8192}]}')] == [
        ("v", 8192)
    ]
    assert [one.name for one in ollama.read_models(b'{"models":[{"name":"q:latest"},{"x":1}]}')] == ["q:latest"]
    assert ollama.read_detail(b'{"model_info":{"llama.context_length":4096,"general.name":"x"}}') == 4096
    assert [one.name for one in anthropic.read_models(b'{"data":[{"id":"c"}]}')] == ["c"]
    for module in DIALECTS.values():
        assert not module.read_models(b"nonsense")
        assert module.read_detail(b"nonsense") is None


@pytest.mark.parametrize("value", ["3", None, True, -1, 1.5, float("nan"), float("inf"), 10**400, 1 << 53, [3]])
def test_what_no_server_can_have_counted_is_no_count(value):
    assert whole(value) is None


def test_a_count_is_taken():
    assert [whole(0), whole(3), whole((1 << 53) - 1)] == [0, 3, (1 << 53) - 1]
