"""Which proven programs are most like a task: the router sees the nearest. Pure and deterministic."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from code_evolver.core.shape import program_key, subject
from code_evolver.core.task import Task

_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proven node as the index knows it."""

    number: int
    """Order of registration: of equals, the later is taken."""
    name: str
    task_type: str
    program_key: str
    title: str
    sha256: str
    rating: str
    """"good" or ""; bad ones are no examples."""


def words_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the words by which a node is searched: of name, title and description, each once."""
    text = f"{record['name']} {record.get('title', '')} {record.get('description', '')}".lower().replace("_", " ")
    return tuple(dict.fromkeys(_WORD.findall(text)))


def words_of_task(task: Task) -> tuple[str, ...]:
    """Give the words by which nodes are searched for a task: of its subject."""
    return tuple(word for word in subject(task) if word.isalnum())


def nearest(task: Task, candidates: Iterable[Candidate], limit: int) -> list[Candidate]:
    """Give the candidates most like `task`, best first, each program once.

    What counts, in this weight: the type, whether translations are asked for, content fields, words in common; of
    equals one that people call good, then the later.
    """
    wanted = _shape(program_key(task))
    words = set(words_of_task(task))
    good = [one for one in candidates if one.rating != "bad"]
    ranked = sorted(good, key=lambda one: (-_likeness(one, wanted, words), one.rating != "good", -one.number, one.name))
    chosen: dict[str, Candidate] = {}
    for one in ranked:
        chosen.setdefault(one.sha256, one)
    return list(chosen.values())[:limit]


def _shape(key: str) -> tuple[str, bool, frozenset[str]]:
    """Read a program key: type, translations, fields."""
    kind, _, fields = key.rpartition(":")
    return kind.removesuffix("+translations"), kind.endswith("+translations"), frozenset(fields.split(","))


def _likeness(one: Candidate, wanted: tuple[str, bool, frozenset[str]], words: set[str]) -> float:
    kind, translations, fields = wanted
    its_kind, its_translations, its_fields = _shape(one.program_key)
    its_words = set(_WORD.findall(f"{one.name} {one.title}".lower().replace("_", " ")))
    return (
        4.0 * (kind == its_kind)
        + 2.0 * (translations == its_translations)
        + 3.0 * len(fields & its_fields) / len(fields | its_fields)
        + 2.0 * (len(words & its_words) / len(words) if words else 0.0)
    )
