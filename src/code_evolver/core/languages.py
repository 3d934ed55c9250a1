"""Language pairs as hubs write them, and the English names of languages."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from code_evolver.core.keys import by_folded_key, first

MOST_PAIRS = 500
"""More pairs than this in one task are cut: there are fewer languages than that between which anything translates."""
UNKNOWN_SOURCE = "auto"

NAMES = frozenset(
    """afrikaans albanian amharic arabic armenian azerbaijani basque belarusian bengali bosnian bulgarian catalan chinese
    croatian czech danish dutch english estonian filipino finnish french galician georgian german greek gujarati hausa
    hebrew hindi hungarian icelandic igbo indonesian irish italian japanese kannada kazakh khmer korean kurdish kyrgyz lao
    latin latvian lithuanian luxembourgish macedonian malay malayalam maltese mandarin cantonese marathi mongolian nepali
    norwegian pashto persian farsi polish portuguese punjabi romanian russian serbian sinhala slovak slovenian somali
    spanish swahili swedish tagalog tajik tamil tatar telugu thai tibetan turkish turkmen ukrainian urdu uyghur uzbek
    vietnamese welsh yiddish yoruba zulu""".split()  # noqa: SIM905 - words read better than a hundred quoted strings
)
"""English names of languages, lower case: input of a task, never part of a node's name."""

CODES = frozenset(
    """af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fr ga gl gu he hi hr hu hy id is it ja ka kk km kn ko
    lt lv mk ml mn mr ms mt nb ne nl no pa pl pt ro ru sk sl sq sr sv sw ta te th tl tr uk ur uz vi zh""".split()  # noqa: SIM905 - words read better than a hundred quoted strings
)
"""Two-letter codes (ISO 639-1) of those languages."""

_FROM = ("from", "source", "sourcelanguage", "sourcelang", "src", "fromlanguage", "fromlang")
_TO = (
    "to",
    "target",
    "targetlanguage",
    "targetlang",
    "tgt",
    "dest",
    "tolanguage",
    "tolang",
    "language",
    "lang",
    "code",
)
_LOCALES = frozenset({"pt-br", "zh-cn", "zh-tw", "en-us", "en-gb", "fr-ca", "es-mx"})
_ARROW = re.compile(r"\s*(?:-+>|=+>|→|>|:|\||/)\s*|\s+to\s+", re.IGNORECASE)
_DASHED = re.compile(r"([A-Za-z]{2,3})[-_ ]([A-Za-z]{2,3})\Z")
_LIST = re.compile(r"[,;\n]+")


def pairs(value: Any, source: Any = None) -> tuple[tuple[str, str], ...]:
    """Read language pairs (from, to) in any form; what cannot be read as one is left out. No repeats, order kept.

    A list of {"from", "to"} (also source/target, sourceLanguage/targetLanguage), of "en-fr" or "fr", of two-element
    lists; one of these alone; "en-fr, en-de"; a map {"en": ["fr", "de"]}. `source` stands in where none is said.
    """
    default = _code(source) or UNKNOWN_SOURCE
    if type(value) is list and len(value) == 1 and type(value[0]) is dict and _is_plain(value[0]):
        ((left, right),) = _map(value[0], default)
        return ((left, right),) if right else ()
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for left, right in _items(value, default):
        if right and len(found) < MOST_PAIRS:
            found.setdefault((left.lower(), right.lower()), (left, right))
    return tuple(found.values())


def _items(value: Any, default: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        for part in _LIST.split(value[:10_000]):
            yield _text(part, default)
    elif isinstance(value, Mapping):
        yield from _map(value, default)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, list) and len(item) == 2 and all(isinstance(side, str) for side in item):
                yield (_code(item[0]) or default, _code(item[1]))
            elif isinstance(item, str):
                yield _text(item, default)
            elif isinstance(item, Mapping):
                yield from _map(item, default)


def _is_plain(value: Mapping[str, Any]) -> bool:
    """Say whether it is {"from": "en", "to": "fr"}: what nearly all hubs send."""
    return len(value) == 2 and type(value.get("to")) is str and type(value.get("from")) is str


def _map(value: Mapping[str, Any], default: str) -> Iterator[tuple[str, str]]:
    if _is_plain(value):
        yield (_word(value["from"]) or default, _word(value["to"]))
        return
    folded = by_folded_key(value)
    target = first(folded, _TO)
    if target is not None:
        left = _code(first(folded, _FROM)) or default
        for one in target if isinstance(target, list) else [target]:
            yield (left, _code(one))
    elif folded.keys().isdisjoint(_FROM):
        for left, rights in value.items():
            for right in rights if isinstance(rights, list) else [rights]:
                yield (_code(left) or default, _code(right))


def _text(text: str, default: str) -> tuple[str, str]:
    return _read(text, default) if len(text) <= 100 else (default, "")


@lru_cache(maxsize=1024)
def _read(text: str, default: str) -> tuple[str, str]:
    words = text.strip()
    sides = _ARROW.split(words, maxsplit=1)
    if len(sides) == 2:
        return (_code(sides[0]) or default, _code(sides[1]))
    dashed = _DASHED.match(words)
    if dashed and not _is_locale(words, dashed[1], dashed[2]):
        return (_code(dashed[1]), _code(dashed[2]))
    return (default, _code(words))


def _is_locale(words: str, left: str, right: str) -> bool:
    return (left.islower() and right.isupper()) or words.lower().replace("_", "-") in _LOCALES


def _code(value: Any) -> str:
    return _word(value) if isinstance(value, str) else ""


def _word(value: str) -> str:
    return _checked(value) if len(value) <= 64 else ""


@lru_cache(maxsize=1024)
def _checked(value: str) -> str:
    word = value.strip()
    if not word.isprintable() or len(word) > 35:
        return ""
    return word.lower() if len(word) <= 3 else word
