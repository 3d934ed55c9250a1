"""Tasks whose texts are given as they are, past the reading of hub objects: for rooms that must bear any of them."""

from collections.abc import Mapping

from code_evolver.core.task import Task


def made(
    *,
    name: str = "A task",
    type: str = "summarize",  # noqa: A002 - the name that the task gives it
    fields: Mapping[str, str],
    languages: tuple[tuple[str, str], ...] = (),
) -> Task:
    task = Task("t-1", True, type, 1, None, False, {}, b"{}")
    vars(task).update(name=name, fields=fields, languages=languages, digest="d")  # where the cached properties look
    return task
