"""The gate passes honest programs, names what is wrong with others, reads their tools, and is quick."""

import statistics
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.compose import compose
from code_evolver.core.gate import check, imports_of, tags_of, tools_of
from code_evolver.core.preamble import PREAMBLE
from code_evolver.core.task_types import TASK_TYPES
from tests.honest_programs import HONEST

START = f"{PREAMBLE}\nfrom node_runtime import call_tool, call_tool_resilient, call_tools_parallel, ToolChain\n"
END = '\nif __name__ == "__main__":\n    main()\n'


def program(body: str, top: str = "") -> bytes:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{START}{top}\ndef main():\n{lines}{END}".encode()


def rules(code: bytes) -> set[str]:
    return {finding.rule for finding in check(code)}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_passes(name):
    assert check(HONEST[name]) == ()


@pytest.mark.parametrize("name", HONEST)
def test_line_ends_of_windows_make_no_difference(name):
    assert check(HONEST[name].replace(b"\n", b"\r\n")) == ()


@pytest.mark.parametrize("row", TASK_TYPES.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("translations", [True, False])
def test_what_the_composer_writes_passes(row, translations):
    assert check(compose(row, translations=translations, fields=("content", "tone"))) == ()


@pytest.mark.parametrize(
    ("body", "top", "tools"),
    [
        ('call_tool("a", "x")', "", ("a",)),
        ("call_tool(TOOL, 'x')", 'TOOL = "a"', ("a",)),
        ("call_tool('a' if 1 else 'b', 'x')", "", ("a", "b")),
        ("for tool in ('a', 'b'): call_tool(tool, 'x')", "", ("a", "b")),
        ("for tool, size in (('a', 1), ('b', 2)): call_tool(tool, str(size))", "", ("a", "b")),
        ("call_tool(TABLE['x'], 'x')", "TABLE = {'x': 'a', 'y': 'b'}", ("a", "b")),
        ("call_tool(TABLE.get('x', 'c'), 'x')", "TABLE = {'x': 'a'}", ("a", "c")),
        ("ask('a')", "def ask(tool, extra='x'):\n    return call_tool(tool, extra)", ("a",)),
        ("ask(tool='a')", "def ask(*, tool):\n    return call_tool(tool, 'x')", ("a",)),
        ("ask()", "def ask(tool='a'):\n    return call_tool(tool, 'x')", ("a",)),
        ("call_tools_parallel([('a', 'x'), ('b', 'x')])", "", ("a", "b")),
        ("call_tools_parallel([('a', x) for x in 'xy'] + [{'tool': 'b', 'prompt': 'x'}])", "", ("a", "b")),
        ("calls = []\ncalls.append(('a', 'x'))\ncalls.extend([('b', 'x')])\ncalls += [('c', 'x')]\ncall_tools_parallel(calls)", "",
         ("a", "b", "c")),
        ("ToolChain().call('a', 'x').then('b').get()", "", ("a", "b")),
        ("call_tool_resilient('a', 'x', tags=['t'])", "", ("a",)),
    ],
)  # fmt: skip
def test_the_tools_are_read_from_the_text(body, top, tools):
    code = program(body, top)
    assert check(code) == ()
    assert set(tools_of(code)) == set(tools)


def test_the_tags_of_a_resilient_call_are_read():
    assert tags_of(program("call_tool_resilient('a', 'x', tags=('t', 'u'))")) == ("t", "u")


def test_a_tool_that_the_text_does_not_show_is_a_finding():
    hidden = program("call_tool(json.load(sys.stdin)['tool'], 'x')")
    assert rules(hidden) == {"tool-not-readable"}
    assert tools_of(hidden) == ()


def test_imports_are_read_from_code_that_the_gate_refuses_as_well():
    assert imports_of(b"import os\nfrom json import loads\n") == {"os", "json"}
    assert imports_of(b"import (") == set()


@pytest.mark.parametrize("form", ["main()", "sys.exit(main())", "raise SystemExit(main())"])
def test_the_main_guard_may_start_main_in_three_ways(form):
    assert check(program("pass").replace(b"\n    main()\n", f"\n    {form}\n".encode())) == ()


def test_allowed_imports_may_stand_between_the_preamble_and_the_runtime():
    assert check(program("pass").replace(b"\nfrom node_runtime", b"\nimport re\nfrom node_runtime")) == ()


def test_a_finding_names_its_line():
    (finding,) = check(program("x = 1\ny = eval('1')"))
    assert finding.rule == "builtin-not-allowed"
    assert program("x = 1\ny = eval('1')").splitlines()[finding.line - 1].strip() == b"y = eval('1')"


@pytest.mark.parametrize("body", [
    "kind = type(1)", "print.x = 1", "from re import match", "x = undefined", "lambda call_tool: 1", "del sys.stdout",
    "'{0.a}'.format(1)", "sys.stdin.format(1)", "x = json", "f = call_tool", "dict(__x=1)", "global json", "print(json.codecs)",
])  # fmt: skip
def test_small_sins_are_found(body):
    assert rules(program(body))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_findings_and_never_in_an_error(data):
    assert check(data)
    assert tools_of(data) == ()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_torn_honest_program_ends_in_findings_or_passes(data):
    code = HONEST[data.draw(st.sampled_from(sorted(HONEST)))]
    start = data.draw(st.integers(0, len(code)))
    torn = code[:start] + data.draw(st.binary(max_size=5)) + code[start + data.draw(st.integers(0, 9)) :]
    assert isinstance(check(torn), tuple)


def test_the_gate_takes_a_few_milliseconds_at_most():
    """The figure to hold is 1 ms (benchmarks); here only that nothing is off by an order of magnitude."""
    taken = []
    for code in HONEST.values():
        began = time.process_time()  # of what others do on this machine nothing is measured
        check(code)
        taken.append(time.process_time() - began)
    assert statistics.median(taken) < 0.01
