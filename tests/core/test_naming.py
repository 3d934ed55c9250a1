import re
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.message import read_message
from code_evolver.core.naming import free_name, node_name, safe_name
from code_evolver.core.task import Task


def task(name: str, kind: Any = "summarize") -> Task:
    (found,) = read_message([{"id": 1, "taskName": name, "llmTaskType": kind, "content": "x"}]).tasks
    return found


@pytest.mark.parametrize(
    ("name", "kind", "node"),
    [
        ("LLM Summarization for Blog Post", "summarize", "summarize_blog_post"),
        ("AI Generated Email Content", "generate", "generate_email_content"),
        ("Translation of Product Description", "translate", "translate_product_description"),
        ("Summarize invoice 4711 (2024-07-27)", "summarize", "summarize_invoice"),
        ("Summarize", 0, "summarize_text"),
        ("", "summarize", "summarize_text"),
        ("😀", "generate", "generate_text"),
        ("../../x", "summarize", "summarize_x"),
        ("..", "summarize", "summarize_text"),
        ("CON", "summarize", "summarize_con"),
        ("runtime", "node", "node_node_runtime"),
        ("resources", "pkg", "node_pkg_resources"),
        ("ticket", "Classify", "classify_ticket"),
        ("ticket", "sentiment_analysis", "sentiment_analysis_ticket"),
        ("ticket", 7, "task_7_ticket"),
        ("ticket", "../..", "untyped_ticket"),
        ("x" * 10_000, "summarize", "summarize_" + "x" * 54),
        ("summarize " + "word " * 30, "summarize", "summarize" + "_word" * 11),
        ("x", "y" * 64, "y" * 32 + "_x"),
    ],
)
def test_a_node_is_named_by_verb_and_subject(name, kind, node):
    assert node_name(task(name, kind)) == node
    assert safe_name(node)


def test_a_type_of_another_script_gets_a_stable_name():
    assert node_name(task("ticket", "分类")) == node_name(task("ticket 5", "分类"))
    assert safe_name(node_name(task("ticket", "分类")))
    assert node_name(task("ticket", "分类")) != node_name(task("ticket", "翻译"))


@settings(max_examples=400, deadline=None)
@given(
    st.text(max_size=80),
    st.text(max_size=20) | st.sampled_from(["summarize", "con", "json", "node", "pkg", "py", "_", "1"]),
)
def test_whatever_a_task_is_called_its_node_has_a_safe_name(name, kind):
    tasks = read_message([{"id": 1, "taskName": name, "llmTaskType": kind, "content": "x"}]).tasks
    assert all(safe_name(node_name(found)) for found in tasks)


@pytest.mark.parametrize(
    "text",
    ["", "A", "a-b", "a.b", "a/b", "../x", "..", "1a", "_a", "a b", "a\n", "a" * 65, "é", "con", "nul", "com1", "lpt9", "json",
     "sys", "os", "test", "node_runtime", "py_compile", "code_evolver", "a\x00", "a\u0131"],
)  # fmt: skip
def test_a_name_from_outside_that_is_not_a_plain_folder_name_is_refused(text):
    assert not safe_name(text)


@pytest.mark.parametrize("text", ["a", "summarize_blog_post", "x" * 64, "con_text", "json2_x"])
def test_a_plain_name_is_accepted(text):
    assert safe_name(text)


def test_no_module_of_this_python_can_be_a_name():
    assert not [name for name in sys.stdlib_module_names if re.fullmatch("[a-z][a-z0-9_]*", name) and safe_name(name)]


def test_a_free_name_is_the_base_or_the_first_free_number():
    taken = {"a", "a_2", "a_3"}
    assert free_name("a", taken.__contains__) == "a_4"
    assert free_name("b", taken.__contains__) == "b"
    assert free_name("A", taken.__contains__) == "a_4"


def test_a_free_name_never_grows_over_the_limit():
    taken = {"x" * 64, *("x" * 62 + f"_{number}" for number in range(2, 10))}
    name = free_name("x" * 64, taken.__contains__)
    assert name == "x" * 61 + "_10"
    assert safe_name(name)
