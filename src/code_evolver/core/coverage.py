"""What a proof covers, and whether that holds for a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.judge_seen import Seen, pairs_of, shares_target, text_of
from code_evolver.core.judge_type import asks_translations
from code_evolver.core.proof_cases import LANGUAGES
from code_evolver.core.task import Task, node_input
from code_evolver.core.task_reading import CONTENT_FIELDS
from code_evolver.core.task_types import TaskType


def covers_of(row: TaskType | None, good: Sequence[Seen], sample: Seen) -> dict[str, Any]:
    """Say what the cases that went well cover (Verdict.covers)."""
    data = sample.data if isinstance(sample.data, Mapping) else {}
    asked = asks_translations(row, sample) if row else bool(data.get(LANGUAGES))
    return {
        "languages": max((len(pairs_of(one)) for one in good), default=0) if asked else 0,
        "shared_target": any(shares_target(one) for one in good),
        "fields": [key for key in CONTENT_FIELDS if isinstance(data.get(key), str)],
        "max_chars": max((len(text_of(row, one)) for one in good), default=0),
        "cases": len(good),
    }


def covers_task(covers: Mapping[str, Any], task: Task) -> bool:
    """Say whether a proof with these `covers` holds for the task: its fields, number of languages and sizes."""
    data = node_input(task)
    fields = {key: value for key, value in data.items() if key in CONTENT_FIELDS}
    targets = [target for _, target in task.languages]
    return (
        set(fields) == set(covers.get("fields", ()))
        and len(task.languages) <= int(covers.get("languages", 0))
        and bool(covers.get("languages")) == bool(task.languages)
        and (len(set(targets)) == len(targets) or bool(covers.get("shared_target")))
        and max(map(len, fields.values()), default=0) <= int(covers.get("max_chars", 0))
    )
