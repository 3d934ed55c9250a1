"""What a node of a known type must do, read from the type's row: text, language pairs, answers in their places."""

from collections.abc import Iterator, Mapping
from typing import Any

from code_evolver.core.judge_seen import Fault, Seen, calls_of, covers_whole, pair_keys, pairs_of, text_of
from code_evolver.core.proof_cases import LANGUAGES, text_key
from code_evolver.core.strict_json import show
from code_evolver.core.stubs import stub_text
from code_evolver.core.task_reading import CONTENT_FIELDS
from code_evolver.core.task_types import TaskType
from code_evolver.core.trials import Call

Pair = tuple[str, str]


def type_faults(row: TaskType, seen: Seen, *, translates: bool) -> Iterator[Fault]:
    """Find what a case that is done did not do as its type's row says; `translates`: languages are asked for."""
    text, document = text_of(row, seen), seen.document
    if not text and not seen.run.calls and document["result"] in ("", {}):
        return  # nothing to work on, and nothing pretended
    yield from _other_tools(row, seen, translates=translates)
    if row.tool:
        yield from _main_faults(row, seen, text)
        yield from _field_faults(row, seen)
    if translates:
        source = document["result"] if row.tool else text
        yield from _pair_faults(row, seen, str(source))
        yield from _place_faults(row, seen)


def _other_tools(row: TaskType, seen: Seen, *, translates: bool) -> Iterator[Fault]:
    own = {row.tool, row.pair_tool if translates else None}
    for tool in sorted({call.tool for call in seen.run.calls} - own):
        yield "tool-of-another-type", f"{show(tool)} is called, and a {row.name} node here needs {_names(own)} only"


def _names(tools: set[str | None]) -> str:
    return " and ".join(sorted(tool for tool in tools if tool))


# ── the text ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _main_faults(row: TaskType, seen: Seen, text: str) -> Iterator[Fault]:
    calls = calls_of(seen, row.tool)
    whole = [call for call in calls if text.strip() in call.prompt]
    if not calls:
        yield "text-not-whole", f"{row.tool} is not called"
    elif whole and len(calls) > 1:
        yield "asked-twice", f"{row.tool} is called {len(calls)} times for one text"
    elif not whole and not covers_whole([call.prompt for call in calls], text):
        yield "text-not-whole", f"the text of {len(text)} characters does not reach {row.tool} whole"
    else:
        yield from _result_faults(row, calls, seen.document["result"])


def _result_faults(row: TaskType, calls: list[Call], result: Any) -> Iterator[Fault]:
    answers = [stub_text(call) for call in calls]
    if len(answers) == 1:
        right = isinstance(result, str) and result.strip() == answers[0]
    else:
        later = " ".join(call.prompt for call in calls)
        right = all(answer in str(result) or answer in later for answer in answers) and any(
            answer in str(result) for answer in answers
        )
    if not right:
        yield "wrong-result", f"result is {show(result)} and not what {row.tool} answered ({show(answers[-1])})"


def _field_faults(row: TaskType, seen: Seen) -> Iterator[Fault]:
    said = "\n".join(f"{call.prompt}\n{list(call.arguments.values())}" for call in calls_of(seen, row.tool))
    own = text_key(row, seen.data)
    for field in CONTENT_FIELDS:
        value = seen.data.get(field)
        if field != own and isinstance(value, str) and value.strip() and value.strip() not in said:
            yield "field-ignored", f"the input's {field} does not reach {row.tool}"


# ── language pairs ───────────────────────────────────────────────────────────────────────────────────────────────────
def _asked(row: TaskType, seen: Seen) -> dict[Pair, list[Call]]:
    found: dict[Pair, list[Call]] = {}
    for call in calls_of(seen, row.pair_tool):
        pair = (str(call.arguments.get("source_language")), str(call.arguments.get("target_language")))
        found.setdefault(pair, []).append(call)
    return found


def _pair_faults(row: TaskType, seen: Seen, text: str) -> Iterator[Fault]:
    wanted, asked = pairs_of(seen), _asked(row, seen)
    for source, target in wanted:
        if (source, target) not in asked:
            yield "pair-missing", f"{row.pair_tool} is not asked for {show(source)} to {show(target)}"
    for pair, calls in asked.items():
        if pair not in wanted:
            said = f"source_language={show(pair[0])}, target_language={show(pair[1])}"
            yield "pair-unknown", f"{row.pair_tool} is asked with {said}, a pair that the input does not name"
        elif any(call.prompt.strip() == text.strip() for call in calls):
            if len(calls) > 1:
                yield (
                    "pair-twice",
                    f"{row.pair_tool} is asked {len(calls)} times for {show(pair[0])} to {show(pair[1])}",
                )
        elif len(calls) < 2 or not covers_whole([call.prompt for call in calls], text):
            whose = f"the answer of {row.tool}" if row.tool else "the text"
            yield "pair-text", f"{row.pair_tool} is given {show(calls[0].prompt)} and not {whose}, whole"


def _place_faults(row: TaskType, seen: Seen) -> Iterator[Fault]:
    pairs, asked = pairs_of(seen), _asked(row, seen)
    keys, found = pair_keys(row, pairs), seen.document.get("translations")
    if not pairs:
        if found not in (None, {}):
            yield "wrong-translations", f"translations is {show(found)} where none are asked for"
        return
    if not isinstance(found, Mapping) or set(found) != set(keys):
        said = list(found) if isinstance(found, Mapping) else found
        yield "wrong-translations", f"translations has {show(said)} where the keys must be {show(keys)}"
        return
    for key, pair in zip(keys, pairs, strict=True):
        if not _is_answer(found[key], asked.get(pair, [])):
            yield (
                "wrong-translations",
                f"translations[{show(key)}] is {show(found[key])} and not the answer for that pair",
            )
    if row.result == "only_pair_or_map":
        wanted = found[keys[0]] if len(keys) == 1 else found
        if seen.document["result"] != wanted:
            yield (
                "wrong-result",
                "result must be the text of the only pair, or the map translations where there are several",
            )


def _is_answer(text: Any, calls: list[Call]) -> bool:
    answers = [stub_text(call) for call in calls]
    if len(answers) == 1:
        return isinstance(text, str) and text.strip() == answers[0]
    return bool(answers) and all(answer in str(text) for answer in answers)


def asks_translations(row: TaskType, seen: Seen) -> bool:
    """Say whether the sample asks for translations: then every case is judged on them."""
    return row.languages == "required" or (isinstance(seen.data, Mapping) and bool(seen.data.get(LANGUAGES)))
