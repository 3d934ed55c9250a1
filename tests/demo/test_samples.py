from code_evolver.core.message import read_message
from code_evolver.core.naming import node_name
from code_evolver.core.shape import node_key
from code_evolver.core.task_types import TASK_TYPES
from code_evolver.demo.samples import COUNT, MESSAGES

READ = [read_message(arguments) for arguments in MESSAGES]
TASKS = [task for message in READ for task in message.tasks]


def test_every_sample_is_a_task():
    assert len(TASKS) == COUNT
    assert not any(message.refusals for message in READ)
    assert len({task.id for task in TASKS}) == COUNT


def test_the_first_three_are_the_nodes_of_the_contract():
    assert [node_name(task) for task in TASKS[:3]] == [
        "summarize_blog_post", "generate_email_content", "translate_product_description"]  # fmt: skip


def test_all_known_types_several_languages_and_repeats_are_among_them():
    assert {task.type for task in TASKS} == set(TASK_TYPES)
    assert len({target for task in TASKS for _, target in task.languages}) >= 6
    assert len({node_key(task) for task in TASKS}) <= COUNT - 4


def test_every_sample_has_text_and_the_languages_that_its_type_needs():
    for task in TASKS:
        assert any(task.fields.get(key) for key in TASK_TYPES[task.type].text_from)
        assert task.languages or TASK_TYPES[task.type].languages == "optional"
