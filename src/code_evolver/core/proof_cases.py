"""The inputs that a program is proven on: a task's own sample, and further ones made from it."""

from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.strict_json import canonical
from code_evolver.core.task_reading import CONTENT_FIELDS, MANNER_FIELDS
from code_evolver.core.task_types import TaskType, text_keys
from code_evolver.core.trials import Case

LONG_CHARS = 20_000
LANGUAGES = "translationLanguages"
FIVE = (("en", "fr"), ("en", "de"), ("de", "pt-BR"), ("auto", "ja"), ("fr", "uk"))
SECOND_TEXT = "A second Text, unlike the first: the Ferry leaves at 7:45, and nobody waits for it twice."
_TEXTS = {
    "empty text": "",
    # Latin, Greek, Japanese, Hebrew, Arabic with a direction mark, Devanagari, combining marks, joined emoji, a line separator
    "Unicode": "Gr\u00fc\u00dfe, \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac, \u65e5\u672c\u8a9e, \u05e2\u05d1\u05e8\u05d9\u05ea \u200f \u0627\u0644\u0639\u0631\u0628\u064a\u0629, \u0928\u092e\u0938\u094d\u0924\u0947, e\u0301a\u0308, \U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001d54f \u00a0\u2028 end",
    "quotes, braces, newlines": "\"double\" 'single' `back` {braces} {0} {{x}} %s %(y)d $z \\n \\\\ \\u0041\n"
    "</script>\r\n\t<!-- # ```py\n\n\nLast line",
}


def long_text() -> str:
    """Give 20,000 characters that differ from beginning to end, so that any cut shows."""
    lines = (f"Sentence {number} of the Long Text says {number * 7919 % 1009} and no more. " for number in range(500))
    return "".join(lines)[:LONG_CHARS]


def text_key(row: TaskType | None, data: Mapping[str, Any]) -> str:
    """Say under which key the text of this input lies; "" where there is none."""
    if row:
        return next((key for key in text_keys(row, data) if data.get(key) is not None), "")
    keys = [key for key in CONTENT_FIELDS if key not in MANNER_FIELDS]
    keys += [key for key in data if key not in {"id", "taskName"}]
    return next((key for key in keys if isinstance(data.get(key), str)), "")


def cases(row: TaskType | None, sample: Mapping[str, Any], tools: Sequence[str] = ()) -> tuple[Case, ...]:
    """Make the cases for a task of this type (None: an unknown type) from its sample (core.task.node_input).

    `tools` are those that the program may call; where the type is known its own tools are taken.
    """
    data = {"id": "sample-1", **sample}
    key = text_key(row, data) or (row.text_from[0] if row else "content")
    data.setdefault(key, "")
    if row and row.languages == "required" and not data.get(LANGUAGES):
        data[LANGUAGES] = pairs_as_input(FIVE[:2])
    found = [_case("sample", data), _case("sample again", data)]
    found += [_case("id missing", {name: value for name, value in data.items() if name != "id"})]
    found += _texts(data, key) + _bad(data, key)
    if data.get(LANGUAGES):
        found += _languages(data, known=row is not None)
    if row:
        tools = [tool for tool in (row.tool, row.pair_tool if data.get(LANGUAGES) else None) if tool]
    return (*found, *(_case(f"{tool} fails", data, tool) for tool in tools))


def _case(name: str, data: object, failing: str = "") -> Case:
    return Case(name, canonical(data).encode("ascii"), failing)


def _texts(data: Mapping[str, Any], key: str) -> list[Case]:
    texts = {"second text": SECOND_TEXT, **_TEXTS, "long text": long_text()}
    more = {"other id, extra keys": {**data, "id": "Other-2 é", "zz_unknown": [1, {"a": None}], "tenantId": 7}}
    others = [other for other in CONTENT_FIELDS if other != key and isinstance(data.get(other), str)]
    if others:
        more["other fields"] = {**data, **{other: f"Another {other}, Unlike the first" for other in others}}
    return [*(_case(name, {**data, key: text}) for name, text in texts.items()),
            *(_case(name, changed) for name, changed in more.items())]  # fmt: skip


def _bad(data: Mapping[str, Any], key: str) -> list[Case]:
    textless = {name: value for name, value in data.items() if name not in CONTENT_FIELDS}
    wrong = {"text is a number": 42, "text is a list": ["a", "b"], "text is null": None}
    return [_case("text missing", textless),
            *(_case(name, {**textless, key: value}) for name, value in wrong.items()),
            _case("a list, no object", [data]), Case("no JSON", b'{"content": "cut o')]  # fmt: skip


def _languages(data: Mapping[str, Any], *, known: bool) -> list[Case]:
    good: dict[str, object] = {
        "one language": pairs_as_input(FIVE[2:3]),
        "five languages": pairs_as_input(FIVE),
        "same pair twice": pairs_as_input((FIVE[1], FIVE[0], FIVE[1])),
    }
    fixed: dict[str, object] = {
        "no languages": [],
        "shared target": pairs_as_input((("en", "fr"), ("de", "fr"))),
        "languages are a text": "fr",
        "pairs are texts": ["fr", "de"],
        "pair without target": [{"from": "en"}],
    }
    found = [_case(name, {**data, LANGUAGES: value}) for name, value in {**good, **(fixed if known else {})}.items()]
    without = {name: value for name, value in data.items() if name != LANGUAGES}
    return [*found, *([_case("languages missing", without)] if known else [])]


def pairs_as_input(pairs: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Write pairs (from, to) as a node reads them."""
    return [{"from": source, "to": target} for source, target in pairs]
