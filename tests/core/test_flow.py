"""The flow of a program is read from its syntax tree."""

import pytest

from code_evolver.core.flow import Step, mermaid, quoted, steps
from tests.honest_nodes import HONEST, SUMMARIZE_STRAIGHT


def test_loops_and_conditions_stand_beside_the_tool_that_they_hold_for():
    read, main, pairs, done = steps(SUMMARIZE_STRAIGHT.encode())
    assert (read.kind, done.kind) == ("input", "output")
    assert main == Step("tool", "summarizer")
    assert pairs == Step("tool", "quick_translator", loop="each language in languages")


def test_a_tool_in_a_comprehension_a_condition_a_chain_or_a_loop_is_seen():
    code = b"""
TOOL = "summarizer"
def work(texts):
    if texts:
        return [call_tool(TOOL, text) for text in texts]
    while texts:
        call_llm("x")
    call_tools_parallel(texts)
    return {key: call_tool_resilient(key) for key in texts}
def main():
    work(json.load(sys.stdin))
    chain = ToolChain().call("content_generator", "x").then("quick_translator", "{result}").get()
    call_tool("nmt_translator", "x")
    print("{}")
"""
    found = [(step.label, step.loop, step.condition) for step in steps(code) if step.kind == "tool"]
    assert found == [
        ("summarizer", "each text in texts", "texts"),
        ("call_llm", "while texts", ""),
        ("several tools", "all at once", ""),
        ("a tool", "each key in texts", ""),
        ("content_generator", "", ""),
        ("quick_translator", "", ""),
        ("nmt_translator", "", ""),
    ]


def test_functions_that_call_each_other_end():
    code = b"def a():\n    b()\n    call_tool('summarizer', 'x')\ndef b():\n    a()\ndef main():\n    a()\n"
    assert [step.label for step in steps(code)] == ["summarizer"]


@pytest.mark.parametrize("code", [b"", b"def main(:", b"x = 1\n", b"\xff\xfe", b"(" * 5000])
def test_code_that_shows_no_steps_has_a_flow_all_the_same(code):
    assert [step for step in steps(code) if step.kind == "tool"] == []
    assert mermaid(code).startswith("flowchart TD\n")


@pytest.mark.parametrize("name", HONEST)
def test_every_place_of_the_picture_is_reached(name):
    picture = mermaid(HONEST[name][2].encode())
    places = {
        line.split("[")[0].split("{")[0].split("(")[0].strip()
        for line in picture.splitlines()[1:]
        if "--" not in line and "-." not in line
    }
    for place in places - {"input"}:
        assert f"> {place}" in picture or f"| {place}" in picture, place


def test_text_in_the_picture_cannot_leave_its_quotes():
    assert quoted('a"]; click x `<b>`') == "a#34;#93;#59; click x #96;#60;b#62;#96;"
