"""Composed programs do what the hand-written golden files say, for every known type."""

import ast
import json
from pathlib import Path

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.gate import check
from code_evolver.core.preamble import PREAMBLE, RUNTIME_NAMES
from code_evolver.core.stubs import stub_text
from code_evolver.core.task_types import TASK_TYPES, text_keys
from code_evolver.core.trials import Call, Case
from code_evolver.edges.trial import ChildTrials

TOOLS = ("summarizer", "content_generator", "quick_translator", "nmt_translator")
GOLDEN = Path(__file__).parent.parent / "golden"
FILES = {name: json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")) for name in TASK_TYPES}
GIVEN = [(name, case) for name, file in FILES.items() for case in file["cases"]]
VARIANTS = [
    (row, translations, fields)
    for row in TASK_TYPES.values()
    for translations in (True, False)
    for fields in (("content",), ("prompt",), ("content", "prompt", "tone"), ("text",), ("tone",), ())
]


def resolve(value, answers):
    """Put the answers of earlier calls where "@n" stands."""
    if isinstance(value, dict):
        return {key: resolve(item, answers) for key, item in value.items()}
    if isinstance(value, str) and value[:1] == "@":
        return answers[int(value[1:]) - 1]
    return value


def expected(case):
    calls: list[Call] = []
    answers: list[str] = []
    for tool, prompt, arguments in case["calls"]:
        calls.append(Call(tool, resolve(prompt, answers), arguments))
        answers.append(stub_text(calls[-1]))
    return calls, resolve(case["output"], answers)


def run(row, case):
    code = compose(row, translations=case["translations"], fields=case["fields"])
    given = Case(case["name"], json.dumps(case["input"]).encode(), case.get("failing", ""))
    return ChildTrials().run(code, [given], TOOLS).runs[0]


@pytest.mark.parametrize(("name", "case"), GIVEN, ids=[f"{name}: {case['name']}" for name, case in GIVEN])
def test_a_composed_program_makes_the_calls_and_the_output_of_the_golden_file(name, case):
    done = run(TASK_TYPES[name], case)
    calls, output = expected(case)
    assert list(done.calls) == calls
    assert json.loads(done.stdout) == output
    assert done.exit_code == case["exit"]


@pytest.mark.parametrize(("row", "translations", "fields"), VARIANTS)
def test_every_variant_is_short_begins_with_the_preamble_and_imports_what_it_uses(row, translations, fields):
    code = compose(row, translations=translations, fields=fields).decode()
    tree = ast.parse(code)
    rest = code.split('"""', 2)[2].lstrip("\n")
    assert rest.startswith(PREAMBLE)
    assert len(code.splitlines()) < 100
    assert max(map(len, code.splitlines())) <= 120
    imported = next(node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "node_runtime")
    names = {alias.name for alias in imported.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names <= used & set(RUNTIME_NAMES)
    assert {"call_tool", "call_tools_parallel", "ToolError"} & used <= names
    assert check(code.encode()) == ()


def test_equal_keys_give_equal_bytes_whatever_the_order_of_the_fields():
    row = TASK_TYPES["summarize"]
    first = compose(row, translations=True, fields=("tone", "content", "audience"))
    assert first == compose(row, translations=True, fields=("audience", "tone", "content"))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"content": NaN}',
        b'{"content": "\\ud800"}',
        b'{"content": ' + b"[" * 100_000,
        b"{} {}",
        b"\xff",
    ],
)
def test_input_that_is_no_good_json_object_is_bad_input_and_one_document(raw):
    code = compose(TASK_TYPES["summarize"], translations=True, fields=("content",))
    done = ChildTrials().run(code, [Case("bad", raw)], TOOLS).runs[0]
    document = json.loads(done.stdout)
    assert (done.exit_code, document["error"]["code"], document["success"]) == (2, "bad_input", False)
    assert list(done.calls) == []


@pytest.mark.parametrize("languages", ["fr", 7, {}, [None], [{"from": "en"}], [{"from": 1, "to": "fr"}], [{"from": "", "to": "fr"}], [["en", "fr"]]])  # fmt: skip
def test_language_pairs_that_are_no_pairs_are_bad_input(languages):
    code = compose(TASK_TYPES["summarize"], translations=True, fields=("content",))
    given = json.dumps({"id": 7, "content": "x", "translationLanguages": languages}).encode()
    done = ChildTrials().run(code, [Case("bad", given)], TOOLS).runs[0]
    assert (done.exit_code, json.loads(done.stdout)["task_id"]) == (2, 7)


def test_a_field_of_another_name_is_the_text_where_the_type_has_none_of_its_own():
    row = TASK_TYPES["summarize"]
    assert text_keys(row, ("text", "tone"))[0] == "text"
    assert text_keys(row, ("description", "body"))[0] == "body"
    assert text_keys(row, ("tone",)) == row.text_from
    code = compose(row, translations=False, fields=("text", "tone"))
    done = ChildTrials().run(code, [Case("text", b'{"text": "Hello", "tone": "dry"}')], TOOLS).runs[0]
    assert [call.prompt for call in done.calls] == ["Hello\n\ntone: dry"]
