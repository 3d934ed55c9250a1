"""What HTTP tools ask, read, and may connect to."""

import pytest

from code_evolver.core.http_tool import answer_text, forbidden, problem, request_body
from code_evolver.core.manifest import HttpShape


def shape(request, response="text", **more):
    return HttpShape("POST", "/", request, response, **more)


def test_a_request_is_filled_once_and_empty_keys_are_left_out():
    body = request_body(
        shape(
            {"q": "{prompt}", "k": "{api_key}", "n": 5, "deep": {"list": ["to {lang}", "{lang}"]}, "auto": "{source}"},
            omit_values=("auto",),
        ),
        {"prompt": "{lang} x", "lang": "fr", "source": "auto"},
    )
    assert body == {"q": "{lang} x", "n": 5, "deep": {"list": ["to fr", "fr"]}}


@pytest.mark.parametrize(
    ("body", "path", "text"),
    [
        (b'{"text": "x"}', "text", "x"),
        (b'{"a": [{"b": "x"}]}', "a.0.b", "x"),
        (b'{"a": ["x"]}', "a.1", None),
        (b'{"text": 5}', "text", None),
        (b"[", "text", None),
        (b"\xff", "text", None),
        (b"[" * 100_000, "text", None),
    ],
)
def test_the_text_is_found_at_its_place_or_not(body, path, text):
    assert answer_text(shape({}, path), body) == text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": "no\\u001b"}', "HTTP 400: 'no\\u001b'"),
        (b'{"detail": "Error: x"}', "HTTP 400: 'Error: x'"),
        (b"<html>", "HTTP 400"),
        (b"[1]", "HTTP 400"),
        (b"{}", "HTTP 400"),
    ],
)
def test_a_refusal_is_told_in_one_safe_sentence(body, words):
    assert problem(400, body) == words


@pytest.mark.parametrize(
    ("address", "plain", "configured"),
    [
        ("93.184.216.34", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("::1", False, True),
        ("100.64.0.1", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("ff02::1", False, False),
        ("x", False, False),
    ],
)
def test_addresses_that_a_tool_may_reach(address, plain, configured):
    assert (forbidden(address, configured=False) == "") is plain
    assert (forbidden(address, configured=True) == "") is configured
