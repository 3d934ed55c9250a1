"""Secrets are taken out of texts in every form they travel in; innocent text stays."""

import base64
import json
import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core import redact
from code_evolver.core.redact import Redactor, clean_url

SECRET = 'caña/ry+"to ken=\\9'


@pytest.mark.parametrize(
    "text",
    [
        f"the token is {SECRET}.",
        json.dumps({"t": SECRET}, ensure_ascii=False),
        json.dumps({"t": SECRET}),
        "u?t=" + quote(SECRET, safe=""),
        "u?t=" + quote(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode()).decode(),
        base64.b64encode(b"u:" + SECRET.encode() + b":x").decode(),
        base64.urlsafe_b64encode(b"ab" + SECRET.encode()).decode(),
    ],
)
def test_a_known_secret_is_found_in_each_form(text):
    cleaned = Redactor([SECRET]).clean(text)
    assert "***" in cleaned
    for part in ("ry+", "to ken", "ry%2B", quote("to ken"), base64.b64encode(SECRET.encode()).decode()[4:12]):
        assert part not in cleaned


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        ("Authorization: Bearer abcCANARY123", "CANARY"),
        ("authorization: basic dXNlcjpDQU5BUlk=", "dXNlcjpDQU5BUlk"),
        ("GET /hub?id=1&access_token=CANARY.x-y&z=2", "CANARY"),
        ("/hub?api_key=CANARY", "CANARY"),
        ("http://me:CANARY@host/x", "CANARY"),
        ("wss://CANARYTOKEN@host/x", "CANARY"),
        ("key sk-CANARY0123456789", "CANARY"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.CANARYsignature", "CANARY"),
        ('{"access_token": "CANARY"}', "CANARY"),
        ('{"password":"CAN\\"ARY"}', "ARY"),
        ("x-api-key: CANARY", "CANARY"),
        ("password=CANARY", "CANARY"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, canary):
    cleaned = Redactor().clean(text)
    assert canary not in cleaned
    assert "***" in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Summarize invoice 4711 for the bearer of this note",
        "http://localhost:5000/taskhub?tenant=3",
        "mail me@example.org about tokens: 15 tokens were used",
        "task-0123456789abcdef was saved to nodes/summarize_blog_post",
        "",
    ],
)
def test_innocent_text_stays(text):
    assert Redactor(["", None, "abc"]).clean(text) == text


def test_a_long_secret_takes_the_memory_of_its_forms():
    tracemalloc.start()
    try:
        redactor = Redactor(["a.b" * 1000])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    assert redactor.clean("x " + "a.b" * 1000) == "x ***"


def test_a_secret_within_another_does_not_spare_the_rest_of_it():
    redactor = Redactor(["whole-secret-of-ours"]).knowing(["secret"])
    assert redactor.clean("whole-secret-of-ours, secret") == "***, ***"


def test_a_part_of_a_query_that_is_no_secret_stays():
    assert Redactor().clean("/hub?id=1&access_token=abcd&z=2") == "/hub?id=1&access_token=***&z=2"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h:1/x?a=b", "http://h:1/x?a=b"),
        ("wss://h/x?access_token=CANARY&a=b", "wss://h/x?access_token=***&a=b"),
        ("http://h/x", "http://h/x"),
        ("http://h/x?assign=1&q=a%20b", "http://h/x?assign=1&q=a%20b"),
    ],
)
def test_an_address_is_shown_without_credentials(url, shown):
    assert clean_url(url) == shown


def test_an_address_that_cannot_be_read_is_cleaned_all_the_same():
    assert "CANARY" not in clean_url("http://me:CANARY@[::1/x")


@given(
    secret=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zs"]), min_size=6, max_size=30),
    around=st.text(max_size=20),
)
@settings(max_examples=100, deadline=None)
def test_no_known_secret_survives(secret, around):
    cleaned = Redactor([secret]).clean(f"{around}{secret}{around}{quote(secret, safe='')}")
    assert secret.strip() not in cleaned or set(secret.strip()) <= {"*"}


@pytest.mark.parametrize(
    "text",
    [
        '{"event":"task_queued","task_id":"task-12345678901","task_type":"summarize"}',
        "my sk-abcdefgh1234 and task-abcdefgh1234, risk-abcdefgh1234",
        "BAS\u0131C abcdefgh", "Author\u0131zation: abcdefgh", "\u017fecret=abcdefgh", "Bearer%20abcdefgh", '{"API-KEY": "abcd"}',
        "toKen=abcd", "x?sig%3Dabcd", "a http://u:p@h/ b", "eyJabcdefgh1.abcdefgh.abc", "EYJabcdefgh1.abcdefgh",
    ],
)  # fmt: skip
def test_the_look_for_words_beforehand_changes_nothing(text):
    cleaned = text
    for _words, pattern, instead in redact._PATTERNS:
        cleaned = pattern.sub(instead, cleaned)
    assert Redactor().clean(text) == cleaned
