"""A manifest is read whole or refused with file and line; inputs are held against it."""

import pytest

from code_evolver.core.errors import InputError, ManifestError
from code_evolver.core.manifest import load, nearest, placeholders

LLM = """\
name: shorten
type: llm
description: Shortens a text.
tags: [text]
input_schema:
  type: object
  additionalProperties: false
  required: [prompt]
  properties:
    prompt: {type: string}
    words: {type: integer, minimum: 1}
    access_key: {type: string, secret: true}
output_schema: {type: object}
llm:
  tier: fast
  prompt_template: "Shorten to {words} words: {prompt}"
"""
HTTP = """\
name: asker
type: http
description: Asks.
input_schema: {type: object, properties: {prompt: {type: string}}}
output_schema: {type: object}
http:
  method: POST
  path: /ask
  request: {q: "{prompt}", key: "{api_key}"}
  response: answer.text
"""


def test_a_manifest_is_read_with_its_defaults():
    tool = load(LLM, "tools/llm/shorten.yaml")
    assert (tool.name, tool.type, tool.tags) == ("shorten", "llm", ("text",))
    assert tool.llm is not None
    assert (tool.llm.tier, tool.llm.temperature, tool.llm.max_tokens, tool.llm.fallback) == ("fast", 0.2, 2000, "none")
    assert tool.http is None
    assert tool.executable is None
    assert tool.input_schema["properties"].keys() == {"prompt", "words", "access_key"}


def test_a_manifest_is_read_from_bytes_and_from_a_windows_path():
    assert load(b"\xef\xbb\xbf" + LLM.encode(), r"C:\tools\llm\shorten.yaml").name == "shorten"


def test_http_and_executable_parts_are_read():
    tool = load(HTTP, "asker.yaml")
    assert tool.http is not None
    assert tool.http.shapes[0].response == "answer.text"
    text = LLM.replace("type: llm", "type: executable").replace(
        'llm:\n  tier: fast\n  prompt_template: "Shorten to {words} words: {prompt}"',
        "executable: {command: python, args: [a.py], timeout_seconds: 3}",
    )
    program = load(text, "shorten.yaml")
    assert program.executable is not None
    assert (program.executable.args, program.executable.timeout_seconds) == (("a.py",), 3)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (LLM.replace("tags:", "tgas:"), 4, "Did you mean tags?"),
        (LLM.replace("  tier: fast", "  teir: fast"), 15, "tier"),
        (LLM.replace("tier: fast", "tier: faster"), 15, "fast"),
        (LLM.replace("{words} words", "{wrods} words"), 16, "Did you mean words?"),
        (LLM.replace("name: shorten", "name: other"), 1, "file's name 'shorten'"),
        (LLM.replace("name: shorten", "name: ../x"), 1, "name"),
        (LLM.replace("type: llm", "type: http", 1), 14, "not wanted"),
        (LLM.replace("type: llm", "type: ruby", 1), 2, "type"),
        (LLM.replace("description: Shortens a text.\n", ""), 1, "description"),
        (LLM.replace("type: integer, minimum: 1", "type: integre"), 5, "no JSON Schema"),
        (LLM.replace("words: {type: integer, minimum: 1}", "words: 5"), 5, "no object"),
        (LLM.replace("words: {type: integer, minimum: 1}", 'words: {$ref: "http://evil/x"}'), 5, "$ref"),
        (LLM.replace("words: {type: integer, minimum: 1}", 'words: {pattern: "("}'), 5, "no JSON Schema"),
        (LLM + "executable: {command: x, args: []}\n", 17, "not wanted"),
        (LLM + "  max_tokens: 0\n", 17, "max_tokens"),
        (LLM + "name: again\n", 17, "twice"),
        (LLM + "examples:\n  - inptu: {}\n", 18, "input"),
        (HTTP.replace("{prompt}", "{promt}"), 9, "Did you mean prompt?"),
        (HTTP.replace("path: /ask", "path: ask"), 8, "path"),
        (HTTP.replace("path: /ask", 'path: /ask\n  base_url: "file:///etc"'), 9, "base_url"),
        ("", 1, "must be object"),
        ("- a", 1, "must be object"),
    ],
)
def test_a_wrong_manifest_is_refused_with_file_and_line(text, line, words):
    path = "tools/asker.yaml" if "asker" in text else "tools/shorten.yaml"
    with pytest.raises(ManifestError) as caught:
        load(text, path)
    assert caught.value.message.startswith(f"{path}, line {line}:")
    assert words in caught.value.message + " " + caught.value.hint
    assert caught.value.hint


def test_input_that_fits_is_taken():
    load(LLM, "shorten.yaml").check_input({"prompt": "x", "words": 3})


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, "prompt"),
        ({"prompt": 5}, "prompt must be string"),
        ({"prompt": "x", "wrods": 5}, "Did you mean words?"),
        ({"prompt": "x", "words": 0}, "words"),
        ([], "must be object"),
    ],
)
def test_input_that_does_not_fit_is_refused_by_key(payload, words):
    with pytest.raises(InputError) as caught:
        load(LLM, "shorten.yaml").check_input(payload)
    assert words in caught.value.message + " " + caught.value.hint
    assert caught.value.message.startswith("shorten: the input")


def test_a_secret_input_is_not_shown_in_the_refusal():
    with pytest.raises(InputError) as caught:
        load(LLM.replace("secret: true", "secret: true, maxLength: 3"), "shorten.yaml").check_input(
            {"prompt": "x", "access_key": "canary-value"}
        )
    assert "canary" not in caught.value.message + caught.value.hint


def test_output_is_held_against_its_schema():
    tool = load(
        LLM.replace("output_schema: {type: object}", "output_schema: {type: object, required: [text]}"), "shorten.yaml"
    )
    tool.check_output({"text": "x"})
    with pytest.raises(InputError, match="output"):
        tool.check_output({})


def test_placeholders_are_names_in_single_braces_each_once():
    assert placeholders('{a} {b_2} {{c}} {"d": 1} {} {a}') == ["a", "b_2"]


def test_the_nearest_name_is_found_or_none():
    assert nearest("sumarizer", ["summarizer", "translator"]) == "summarizer"
    assert nearest("zzz", ["summarizer"]) is None
