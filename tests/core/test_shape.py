from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.message import read_message
from code_evolver.core.naming import node_name
from code_evolver.core.shape import node_key, program_key, subject
from code_evolver.core.task import Task


def task(name: str, kind: Any = "summarize", **fields: Any) -> Task:
    (found,) = read_message([{"id": 1, "taskName": name, "llmTaskType": kind, **fields}]).tasks
    return found


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("LLM Summarization for Blog Post", "summarize", "blog post"),
        ("AI Generated Email Content", "generate", "email content"),
        ("Translation of Product Description", "translate", "product description"),
        ("Summarize invoice 4711 (2024-07-27)", "summarize", "invoice"),
        ("Summarize invoice INV-4711", "summarize", "invoice"),
        ("Summarize invoice #99/A3", "summarize", "invoice"),
        ("Summarize order 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "summarize", "order"),
        ("Summarize build deadbeefcafe", "summarize", "build"),
        ("Summarize minutes of Monday, May 3rd 2024", "summarize", "minutes"),
        ("Summarize minutes of 27 July", "summarize", "minutes"),
        ("Summarize minutes of Mon 27.07.2024 14:30", "summarize", "minutes"),
        ("Summarize the May fair", "summarize", "may fair"),
        ("Translate menu card to French and German", "translate", "menu card"),
        ("Translate menu card en-fr", "translate", "menu card"),
        ("Translate menu card en → fr", "translate", "menu card"),
        ("Translate go-to guide", "translate", "go guide"),
        ("SummarizeBlogPost", "summarize", "blog post"),
        ("summarize_blog_post", "summarize", "blog post"),
        ("SUMMARIZE BLOG POST", "summarize", "blog post"),
        ("Summarize customer's letter", "summarize", "customers letter"),
        ("Summarize résumé", "summarize", "resume"),
        ("Summarize Straße in Łódź", "summarize", "strasse lodz"),
        ("Summarize ﬁle", "summarize", "file"),
        ("Classification of ticket", "classification", "ticket"),
        ("Classify support ticket", "classify", "support ticket"),
        ("Summarize", "summarize", "text"),
        ("", "summarize", "text"),
        ("Summarize 4711", "summarize", "text"),
        ("😀", "summarize", "text"),
        ("../../etc/passwd", "summarize", "etc passwd"),
    ],
)
def test_the_subject_is_what_the_name_says_beside_verb_filler_languages_numbers_and_dates(name, kind, words):
    assert " ".join(subject(task(name, kind))) == words


def test_words_of_other_scripts_give_one_stable_hash_without_their_numbers():
    (one,) = subject(task("Сводка отчёта 47"))
    assert one.startswith("x")
    assert len(one) == 9
    assert subject(task("сводка ОТЧЁТА 48")) == (one,)
    assert subject(task("Сводка письма")) != (one,)
    assert subject(task("发票4711")) == subject(task("发票 4712"))


def test_a_word_with_one_foreign_letter_is_not_the_word_without_it():
    assert subject(task("Summarize \u0441ummarizer")) != subject(task("Summarize ummarizer"))


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"content": "x"}, "summarize:content"),
        ({"content": "x", "translationLanguages": ["fr"]}, "summarize+translations:content"),
        ({"tone": "warm", "content": "x"}, "summarize:content,tone"),
        ({}, "summarize:content"),
        ({"tone": "warm"}, "summarize:content,tone"),
        ({"content": "", "prompt": "x"}, "summarize:prompt"),
        ({"content": None, "tenant": "t", "priority": "high"}, "summarize:content"),
    ],
)
def test_the_program_key_is_type_translations_and_fields(fields, key):
    assert program_key(task("Summarize blog post", **fields)) == key
    assert node_key(task("Summarize blog post", **fields)) == key + "/blog_post"


@pytest.mark.parametrize(
    "change",
    [{"translationLanguages": ["de", "it"]}, {"content": "other"}, {"id": 99}, {"priority": "low"}, {"dueDate": "2030-01-01"},
     {"lLMId": "X"}, {"taskName": "Summarize invoice 12 of 3 May 2025"}, {"taskName": "invoice"}],
)  # fmt: skip
def test_languages_texts_ids_numbers_and_dates_do_not_change_the_key(change):
    one = {
        "id": 1,
        "taskName": "Summarize invoice 11",
        "llmTaskType": "summarize",
        "content": "x",
        "translationLanguages": ["fr"],
    }
    tasks = read_message([[one, {**one, **change}]]).tasks
    assert node_key(tasks[0]) == node_key(tasks[1])


def test_who_writes_the_node_does_not_change_its_key():
    found = task("Summarize invoice")
    assert node_key(found, per="node") == node_key(found, per="program")


def test_a_key_stays_short_and_still_tells_subjects_apart():
    one, two = task("Summarize " + "z" * 5000), task("Summarize " + "z" * 1000 + "y" * 100)
    assert len(node_key(one)) < 250
    assert node_key(one) != node_key(two)


names = st.text(max_size=60) | st.lists(
    st.sampled_from(["Summarize", "invoice", "4711", "LLM", "for", "Blog", "Post", "French", "2024-07-27", "résumé", "日本", "CON"]),
    max_size=6,
).map(" ".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(names, names, st.sampled_from(["summarize", "generate", "con", "классификация", "9"]))
def test_tasks_of_one_node_key_have_one_name(first, second, kind):
    one, two = task(first, kind), task(second, kind)
    if node_key(one) == node_key(two):
        assert node_name(one) == node_name(two)
    if subject(one) == subject(two) and one.type == two.type:  # a verb in the name wins against a number as type
        assert node_key(one) == node_key(two)
