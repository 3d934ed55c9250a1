"""The known task types: one row a type, with everything that is special about it.

Composer, judge, message reader, naming, the router's prompt, the demo and the documentation read these rows. A fourth
type is a row here, a golden file under tests/golden/, and a manifest where its tool is new.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TaskType:
    """Everything that is special about a known type."""

    name: str
    """Also the verb that a node's name begins with."""
    aliases: frozenset[str | int]
    """Other words (lower case, letters only) and enum numbers that mean this type."""
    filler: frozenset[str]
    """Words of a task's name that name no subject."""
    text_from: tuple[str, ...]
    """Input keys of the text, in order: the first that is there is taken."""
    languages: Literal["optional", "required"]
    tool: str | None
    """Called once with the text; None: the type has pair calls only."""
    pair_tool: str
    """Called once a language pair, with the tool's answer, or with the text where `tool` is None."""
    pair_key: str
    """Key of a pair's text in `translations`: "{to}" or "{from}-{to}"."""
    result: Literal["answer", "only_pair_or_map"]
    examples: tuple[Mapping[str, object], ...]
    """Synthetic sample inputs, the first is the one put into node.json."""


_PAIRS = ({"from": "en", "to": "fr"}, {"from": "en", "to": "de"})

SUMMARIZE = TaskType(
    name="summarize",
    aliases=frozenset({"summarise", "summary", "summaries", "summarization", "summarisation", "summarizing", "summarising",
                       "textsummarization", "summarizetext", 0}),
    filler=frozenset({"summary", "summaries", "summarization", "summarisation", "summarizing", "summarising", "summarise",
                      "summarize"}),
    text_from=("content", "prompt"),
    languages="optional",
    tool="summarizer",
    pair_tool="quick_translator",
    pair_key="{to}",
    result="answer",
    examples=(
        {"content": "The harbour opened in 1932. It was rebuilt after the flood of 1953 and now serves ferries only.",
         "translationLanguages": list(_PAIRS)},
        {"content": "Minutes of the meeting: the budget was agreed. The next meeting is on Monday."},
    ),
)  # fmt: skip

GENERATE = TaskType(
    name="generate",
    aliases=frozenset({"generation", "generating", "generator", "contentgeneration", "generatecontent", "textgeneration", "write",
                       "create", 1}),
    filler=frozenset({"generated", "generation", "generate", "generating", "generator", "write", "create"}),
    text_from=("prompt", "content"),
    languages="optional",
    tool="content_generator",
    pair_tool="quick_translator",
    pair_key="{to}",
    result="answer",
    examples=(
        {"prompt": "Write a short note that thanks the volunteers of the spring fair.", "translationLanguages": list(_PAIRS)},
        {"prompt": "Write two sentences that invite neighbours to a reading."},
    ),
)  # fmt: skip

TRANSLATE = TaskType(
    name="translate",
    aliases=frozenset({"translation", "translations", "translating", "texttranslation", "translatetext", 2}),
    filler=frozenset({"translation", "translations", "translate", "translating", "translated"}),
    text_from=("content", "prompt"),
    languages="required",
    tool=None,
    pair_tool="nmt_translator",
    pair_key="{from}-{to}",
    result="only_pair_or_map",
    examples=(
        {"content": "This lamp is made of recycled glass and lasts ten years.", "translationLanguages": list(_PAIRS)},
        {"content": "Keep dry.", "translationLanguages": [{"from": "en", "to": "es"}]},
    ),
)

TASK_TYPES: Mapping[str, TaskType] = {row.name: row for row in (SUMMARIZE, GENERATE, TRANSLATE)}


def known(name: str | int) -> TaskType | None:
    """Find the row that a type's name, alias or enum number means; None for any other type."""
    if isinstance(name, int):
        return next((row for row in TASK_TYPES.values() if name in row.aliases), None)
    letters = "".join(char for char in name.lower() if char.isalnum())
    if letters.isdecimal() and letters.isascii() and len(letters) < 3:
        return known(int(letters))
    return TASK_TYPES.get(letters) or next((row for row in TASK_TYPES.values() if letters in row.aliases), None)


OTHER_TEXT = ("text", "body", "input", "question", "instructions", "description", "topic", "subject", "title", "source",
              "context", "keywords")  # fmt: skip
"""Content fields that hold the text where a task has none of its type's own; the others only say how to work."""


def text_keys(row: TaskType, fields: Iterable[str]) -> tuple[str, ...]:
    """Give the input keys of the text for a task with these content fields: the first that is there is taken."""
    there = set(fields)
    if there.isdisjoint(row.text_from):
        return (*(key for key in OTHER_TEXT if key in there), *row.text_from)[:3]
    return row.text_from
