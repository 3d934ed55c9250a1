"""What makes two tasks the same node, or the same program. Languages, texts, ids, numbers and dates are input, not shape."""

import re
import unicodedata
from functools import lru_cache
from hashlib import sha256
from typing import Literal

from code_evolver.core.languages import CODES, NAMES
from code_evolver.core.task import Task
from code_evolver.core.task_reading import MANNER_FIELDS
from code_evolver.core.task_types import TASK_TYPES, known

NO_SUBJECT = ("text",)
"""The subject where a name leaves no words."""
_LONGEST_READ = 2000
_LONGEST_SUBJECT = 160
_LONGEST_VERB = 32
_FILLER = frozenset({
    "llm", "llms", "ai", "gpt", "auto", "automatic", "automatically", "automated", "for", "of", "the", "a", "an", "to", "from",
    "into", "in", "on", "at", "by", "with", "and", "or", "via", "as", "this", "that", "these", "those", "its", "our", "your",
    "my", "please", "task", "tasks",
})  # fmt: skip
_MONTHS = "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
_WEEKDAYS = "mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_NOISE = re.compile(
    rf"""\b[0-9a-f]{{8}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{12}}\b   # a uuid
    | \b(?:(?:{_WEEKDAYS})\.?,?\s+)?{_DAY}\.?\s+(?:of\s+)?(?:{_MONTHS})\b             # 27 July, Monday 3rd of May
    | \b(?:(?:{_WEEKDAYS})\.?,?\s+)?(?:{_MONTHS})\.?\s+\d{{1,4}}(?:st|nd|rd|th)?\b    # July 2024, Monday, May 3rd
    | \b(?:{_WEEKDAYS})\.?,?\s+\d[\d./-]*                                             # Monday 27.07.2024
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REFERENCE = re.compile(r"\b[A-Z]{1,6}[-#_/]\d[\w-]*")  # INV-4711, TASK-12-A
_PAIR = re.compile(r"\b([a-z]{2})\s*(?:-|\u2013|->|=>|→|_|>)\s*([a-z]{2})\b", re.IGNORECASE)
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HEX = re.compile(r"[0-9a-f]{8,}\Z")
_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i",
                          "ħ": "h", "ŋ": "n", "'": None, "\u2019": None})  # fmt: skip


def program_key(task: Task) -> str:
    """Give the key of the program: type, whether translations are asked for, names of content fields.

    "summarize+translations:content"; a task without a text to work on is worked on with its name as content (core.task.node_input).
    """
    fields = {key for key, value in task.fields.items() if value}
    if MANNER_FIELDS.issuperset(fields):
        fields.add("content")
    return f"{task.type}{'+translations' if task.languages else ''}:{','.join(sorted(fields))}"


def subject(task: Task) -> tuple[str, ...]:
    """Give the words of the task's subject, ASCII lower case: ("blog", "post"); ("text",) where the name leaves none."""
    return subject_words(task.type, task.name[:_LONGEST_READ])


def node_key(task: Task, *, per: Literal["program", "node"] = "program") -> str:
    """Give the key of the node: program key and subject, "summarize+translations:content/blog_post".

    The key is the same for both settings of `per` (what `model_per` says to ask a model for): what differs is who writes
    the node of a new key, not which tasks share it.
    """
    del per
    words = "_".join(subject(task))
    if len(words) > _LONGEST_SUBJECT:
        words = f"{words[:_LONGEST_SUBJECT]}~{_digest(words)}"
    return f"{program_key(task)}/{words}"


@lru_cache(maxsize=1024)
def verb_words(kind: str) -> str:
    """Give what a node's name of this type begins with: the known type's verb, else the type, cleaned."""
    row = known(kind)
    if row:
        return row.name
    words, lost = _ascii_words(kind.replace("_", " "))
    clean = "_".join([*words, *([_hashed(lost)] if lost else [])])[:_LONGEST_VERB].strip("_")
    return clean if clean[:1].isalpha() else f"task_{clean}".rstrip("_")


@lru_cache(maxsize=2048)
def subject_words(kind: str, name: str) -> tuple[str, ...]:
    """Give the words of `name` that say what the work is about, for a task of type `kind`."""
    row = TASK_TYPES.get(kind)
    filler = _FILLER | (row.filler | {row.name} if row else {kind, *kind.split("_")})
    text = name
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if " " not in text.strip():
        text = _HUMP.sub(" ", text)
    text = _PAIR.sub(_without_codes, _REFERENCE.sub(" ", _NOISE.sub(" ", text)))
    words, lost = _ascii_words(text)
    kept = [word for word in words if word not in filler and word not in NAMES and not _is_number_or_id(word)]
    return (*kept, *([_hashed(lost)] if lost else [])) or NO_SUBJECT


def _without_codes(pair: re.Match[str]) -> str:
    return " " if {pair[1].lower(), pair[2].lower()} <= CODES else pair[0]


def _is_number_or_id(word: str) -> bool:
    return any(char.isdigit() for char in word) or bool(_HEX.match(word))


def _ascii_words(text: str) -> tuple[list[str], list[str]]:
    """Cut into lower-case words: those that ASCII can write, and those of other scripts (their digits taken out)."""
    folded = text.casefold().translate(_LETTERS)
    if folded.isascii():
        return re.findall(r"[a-z0-9]+", folded), []
    marked = "".join(
        char if unicodedata.category(char)[0] in "LNM" else " " for char in unicodedata.normalize("NFC", folded)
    )
    words: list[str] = []
    lost: list[str] = []
    for word in marked.split():
        plain = "".join(char for char in unicodedata.normalize("NFKD", word) if unicodedata.category(char)[0] != "M")
        plain = plain.translate(_LETTERS)
        if plain.isascii():
            words.extend(re.findall(r"[a-z0-9]+", plain))
        else:
            lost.append("".join(char for char in word if unicodedata.category(char)[0] != "N"))
    return words, [word for word in lost if word]


def _hashed(words: list[str]) -> str:
    """Stand in for words of other scripts: "x" and 8 hex digits of them all, in order."""
    return "x" + _digest(" ".join(words))


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
