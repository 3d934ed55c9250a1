"""The nearest proven programs come first, each once, and the order never depends on chance."""

import random

from code_evolver.core.examples import Candidate, nearest, words_of, words_of_task
from code_evolver.core.message import read_message


def task(kind="summarize", name="Summary of a blog post", languages=(), **fields):
    pairs = [{"from": "en", "to": to} for to in languages]
    return read_message(
        [{"id": "1", "taskName": name, "taskType": kind, **(fields or {"content": "x"}), "translationLanguages": pairs}]
    ).tasks[0]


def node(number, key="summarize:content", name="", title="", sha="", rating=""):
    kind = key.rpartition(":")[0].removesuffix("+translations")
    return Candidate(number, name or f"node_{number}", kind, key, title, sha or str(number), rating)


def names(found):
    return [one.name for one in found]


def test_the_type_counts_most_then_translations_fields_and_words():
    candidates = [
        node(1, "translate+translations:content", "other_type"),
        node(2, "summarize+translations:content", "asks_translations"),
        node(3, "summarize:content,tone", "more_fields"),
        node(4, "summarize:content", "same_shape"),
        node(5, "summarize:content", "summarize_blog_post"),
    ]
    assert names(nearest(task(), candidates, 5)) == [
        "summarize_blog_post",
        "same_shape",
        "more_fields",
        "asks_translations",
        "other_type",
    ]


def test_a_bad_node_is_no_example_and_of_equals_a_good_one_comes_first_then_the_later():
    candidates = [node(1, rating="good"), node(2), node(3), node(4, rating="bad")]
    assert names(nearest(task(), candidates, 9)) == ["node_1", "node_3", "node_2"]


def test_each_program_is_shown_once():
    assert names(nearest(task(), [node(1, sha="a"), node(2, sha="a"), node(3, sha="b")], 9)) == ["node_3", "node_2"]


def test_the_order_of_the_candidates_changes_nothing():
    candidates = [
        node(number, f"summarize:content{',tone' * (number % 2)}", title=f"{number % 3}") for number in range(30)
    ]
    expected = nearest(task(), candidates, 30)
    chance = random.Random(7)
    for _ in range(20):
        chance.shuffle(candidates)
        assert nearest(task(), candidates, 30) == expected


def test_nothing_known_gives_nothing():
    assert nearest(task(), [], 3) == []
    assert nearest(task("a:b", "", prompt="x"), [node(1)], 3) == [node(1)]


def test_words_are_plain_and_each_once():
    record = {
        "name": "summarize_blog_post",
        "title": "Blog post, again",
        "description": "\u00dcber 'quotes\" AND (NEAR)",
    }
    assert words_of(record) == ("summarize", "blog", "post", "again", "ber", "quotes", "and", "near")
    assert words_of_task(task(name="Summary of the Q3 blog post 4711")) == ("blog", "post")
