"""core.reply: one program out of an answer, one plan out of its JSON, and never an exception."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.reply import PLAN_SCHEMA, Plan, read_code, read_plan, strip_reasoning
from code_evolver.core.schema_check import read_data

PROGRAM = "import json\n\nprint(json.dumps({'a': 1}))\n"
IN_DOCSTRING = 'import json\n\nTEXT = """\n```\nnot the end\n```\n"""\nprint(TEXT)\n'


def fenced(code: str = PROGRAM, tag: str = "python") -> str:
    return f"```{tag}\n{code}```"


@pytest.mark.parametrize(
    "text",
    [
        fenced(),
        fenced(tag=""),
        fenced(tag="py"),
        fenced(tag="Python title=main.py"),
        f"~~~python\n{PROGRAM}~~~",
        f"````python\n{PROGRAM}````",
        f"Sure! “Here” it is:\n\n{fenced()}\n\nIt is “done”.",
        fenced().replace("\n", "\r\n"),
        fenced().replace("\n", "\r"),
        f"\ufeff{fenced()}",
        f"First an idea:\n{fenced('x = 1' + chr(10))}\nNow all of it:\n{fenced()}",
        f"```json\n{{}}\n```\n{fenced()}\n```bash\necho this is a long line which is no program at all, but longer than it\n```",
        f"<think>maybe ```python\nno = 1\n``` </think>\n{fenced()}",
        f"<think>a</think><think>b</think>\n{fenced()}",
        f"reasoning without a beginning </think>\n{fenced()}",
        json.dumps({"workflow_name": "x", "workflow_code": PROGRAM}),
        f"```json\n{json.dumps({'workflow_code': PROGRAM})}\n```",
        json.dumps({"workflow_code": fenced()}),
        PROGRAM,
    ],
)
def test_the_one_program_is_found_whatever_stands_around_it(text):
    assert read_code(text) == (PROGRAM.encode(), ())


def test_a_fence_inside_a_docstring_does_not_end_the_program():
    assert read_code(f"Here:\n{fenced(IN_DOCSTRING)}\nBye") == (IN_DOCSTRING.encode(), ())


def test_words_of_reasoning_inside_a_program_stay():
    code = 'MARK = "</think>"\nprint(MARK)\n'
    assert read_code(fenced(code)) == (code.encode(), ())


def test_a_program_that_does_not_parse_is_given_as_it_is_for_the_gate_to_judge():
    assert read_code("```python\ndef broken(:\n```\nand so on")[0] == b"def broken(:\n"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty-answer"),
        ("<think>for ever", "empty-answer"),
        ("I cannot do that.", "no-program"),
        ("hello", "no-program"),
        ("```python\nx = 1", "open-fence"),
        ("<think>x</think>```python\nx = {", "open-fence"),
        ("```python\n\n```", "empty-program"),
        ("```python\nx = '\ud800'\n```", "not-utf-8"),
        ("```python\nx = 1\n" + "#" * 70_000 + "\n```", "program-too-long"),
        ('{"workflow_code": ""}', "no-program"),
    ],
)
def test_an_answer_without_a_whole_program_says_what_is_missing(text, rule):
    code, findings = read_code(text)
    assert code is None
    assert [found.rule for found in findings] == [rule]
    assert findings[0].mend


words = st.text(alphabet=st.characters(codec="utf-8"), max_size=120)
pieces = st.lists(
    st.one_of(
        words, st.sampled_from(["```", "```python\n", "\n", "<think>", "</think>", "{", "}", '"', "x = 1\n", "\r"])
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(pieces)
def test_whatever_a_model_writes_there_is_a_program_or_a_finding(parts):
    code, findings = read_code("".join(parts))
    assert (code is None) == bool(findings)
    if code is not None:
        assert code.decode("utf-8").endswith("\n")
        assert b"\r" not in code


@settings(max_examples=100, deadline=None)
@given(words.filter(lambda text: "`" not in text and "~" not in text and "<" not in text and "{" not in text))
def test_prose_before_and_after_never_changes_the_program(prose):
    assert read_code(f"{prose}\n{fenced()}\n{prose}") == (PROGRAM.encode(), ())


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(fenced(IN_DOCSTRING)) - 4))
def test_a_cut_answer_never_becomes_a_program_that_was_not_written(length):
    code, _ = read_code(fenced(IN_DOCSTRING)[:length])
    assert code is None or IN_DOCSTRING.encode().startswith(code[:-1])


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("<THINKING>a</THINKING>b", "b"),
        ("a</think>b", "b"),
        ("<think>a", ""),
        ("b", "b"),
        ("```\n</think>\n```", "```\n</think>\n```"),
    ],
)
def test_reasoning_is_taken_away(text, rest):
    assert strip_reasoning(text) == rest


PLAN = {"title": "Sums up", "description": "Calls it once.", "tools": ["summarizer"]}
READ = Plan("Sums up", "Calls it once.", ("summarizer",))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(PLAN),
        f"Here: {json.dumps(PLAN)} and {{more}}",
        f"```json\n{json.dumps(PLAN, indent=2)}\n```",
        f"<think>{{}}</think>{json.dumps(PLAN)}",
        json.dumps({**PLAN, "extra": {"a": "}"}}),
        json.dumps({**PLAN, "tools": ["summarizer", " summarizer ", ""]}),
    ],
)
def test_a_plan_is_read(text):
    assert read_plan(text) == (READ, ())


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "Sums up", "description": "Calls it once.", "tools": ["summarizer",],}',
        "{'title': 'Sums up', 'description': 'Calls it once.', 'tools': ['summarizer']}",
        '{"title": "Sums\nup", "description": "Calls it once.", "tools": ["summarizer"]}',
        '{"title": "Sums up", "description": "Calls it once.", "tools": ["summarizer"], "x": None, "y": True}',
    ],
)
def test_small_slips_are_mended_and_told(text):
    plan, findings = read_plan(text)
    assert plan == READ
    assert [found.rule for found in findings] == ["json-mended"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("no", "no-json"),
        ('{"title": "a", "description": "b", "tools": ["c"', "no-json"),
        ('{"title": "a", "title": "b", "description": "b", "tools": []}', "duplicate-key"),
        ("{'title': 'a', 'title': 'b', 'description': 'b', 'tools': []}", "no-json"),
        ('{"title": "a", "tools": []}', "bad-plan"),
        ('{"title": "a", "description": "b", "tools": "c"}', "bad-plan"),
        ('{"title": 1, "description": "b", "tools": []}', "bad-plan"),
    ],
)
def test_what_is_no_plan_is_refused_and_never_completed(text, rule):
    plan, findings = read_plan(text)
    assert plan is None
    assert findings[-1].rule == rule


@settings(max_examples=100, deadline=None)
@given(pieces)
def test_whatever_a_model_writes_reading_a_plan_never_raises(parts):
    plan, findings = read_plan("".join(parts))
    assert plan is not None or findings


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({"title": words, "description": words, "tools": st.lists(words, max_size=3)}))
def test_a_plan_that_fits_the_schema_is_read(value):
    data, wrong = read_data(PLAN_SCHEMA, json.dumps(value))
    plan, _ = read_plan(json.dumps(value))
    if not wrong and data["title"].strip() and data["description"].strip():
        assert plan is not None


def test_long_answers_are_read_in_time():
    begun = time.process_time()
    read_code("```\n" * 20_000)
    read_plan('{"' * 20_000)
    assert time.process_time() - begun < 5.0
