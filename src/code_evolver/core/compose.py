"""The composer: a program for a known task type, without a model.

Languages, texts and ids are input and not code; a task's subject is in no line of it. So equal program keys give equal
bytes, and a copy needs no new proof of anything but its own input.
"""

import textwrap
from collections.abc import Sequence

from code_evolver.core.preamble import PREAMBLE
from code_evolver.core.task_types import TaskType, text_keys

_READ_TASK = """\
def read_task():
    \"\"\"Read one JSON object that can be written again (no NaN, no half of a surrogate pair).\"\"\"
    task = json.load(sys.stdin)
    json.dumps(task, ensure_ascii=False, allow_nan=False).encode("utf-8")
    if not isinstance(task, dict):
        raise ValueError("The input must be one JSON object.")
    return task
"""

_READ_TEXT = """\
def read_text(task):
    \"\"\"Give the text to work on; empty text is text.\"\"\"
    text = next((task[key] for key in TEXT_KEYS if task.get(key) is not None), None)
    if not isinstance(text, str):
        raise ValueError("The task has no text: give '@KEY@'.")
    return text
"""

_READ_PROMPT = """\
def read_prompt(task):
    \"\"\"Give the text whole, and after it what else the task says about the work.\"\"\"
    return "\\n\\n".join([read_text(task), *(f"{key}: {task[key]}" for key in FURTHER_KEYS if task.get(key))])
"""

_READ_PAIRS = """\
def read_pairs(task):
    \"\"\"Give the language pairs (from, to) in their order, each once.\"\"\"
    entries = task.get("translationLanguages")
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("'translationLanguages' must be a list of objects with 'from' and 'to'.")
    pairs = [(entry.get("from"), entry.get("to")) for entry in entries]
    if not all(isinstance(code, str) and code for pair in pairs for code in pair):
        raise ValueError("Each language pair needs 'from' and 'to'.")
    return list(dict.fromkeys(pairs))
"""

_TRANSLATE = """\
def translate(text, pairs):
    \"\"\"Give a translation a pair, all asked for at once; one that fails fails the node.\"\"\"
    answers = call_tools_parallel(
        [("{tool}", text, {{"source_language": source, "target_language": target}}) for source, target in pairs]
    )
    for answer in answers:
        if isinstance(answer, ToolError):
            raise answer
    {names}
    return dict(zip(names, answers, strict=True))
"""

_PAIR_NAMES = 'names = [f"{source}-{target}" for source, target in pairs]'

_TARGET_NAMES = """\
targets = [target for _, target in pairs]
    # Pairs that share a target are named by both languages, so that none is lost.
    names = [to if targets.count(to) == 1 else f"{source}-{to}" for source, to in pairs]"""

_MAIN = """\
def failure(code, error):
    \"\"\"Give the document of a task that could not be done.\"\"\"
    return {"success": False, "error": {"code": code, "message": str(error)}}


def main():
    \"\"\"Read one task, do the work, print one JSON document.\"\"\"
    task, status = {}, 0
    try:
        task = read_task()
@WORK@
    except (ValueError, RecursionError) as error:
        document, status = failure("bad_input", error), 2
    except ToolError as error:
        document, status = failure(error.code, error), 1
    document = {**document, "task_id": task.get("id", ""), "task_type": TASK_TYPE}
    print(json.dumps(document, ensure_ascii=False))
    if status:
        sys.exit(status)


if __name__ == "__main__":
    main()
"""


def compose(row: TaskType, *, translations: bool, fields: Sequence[str]) -> bytes:
    """Write the whole program for `row`, for tasks with these content fields; `translations`: languages are asked for.

    `fields` beyond the text reach the row's tool after the text, whole, as "key: value" lines; a pair tool gets text only.
    Where two pairs share a target and the row names pairs by target, these are named "from-to".
    """
    pairs = translations or row.languages == "required"
    key, further = _text_key(row, fields), _further(row, fields)
    parts = [_head(row, fields, pairs=pairs), _READ_TASK, _READ_TEXT]
    parts += [_READ_PROMPT] if further else []
    if pairs:
        names = _TARGET_NAMES if row.pair_key == "{to}" else _PAIR_NAMES
        parts += [_READ_PAIRS, _TRANSLATE.format(tool=row.pair_tool, names=names)]
    work = _work(row, "read_prompt" if further else "read_text", pairs=pairs)
    parts += [_MAIN.replace("@WORK@", textwrap.indent("\n".join(work), " " * 8))]
    return "\n\n".join(parts).replace("@KEY@", key).encode()


def _text_key(row: TaskType, fields: Sequence[str]) -> str:
    keys = text_keys(row, fields)
    return next((key for key in keys if key in fields), keys[0])


def _further(row: TaskType, fields: Sequence[str]) -> tuple[str, ...]:
    """Give the content fields that are not the text; none for a pair tool, which could only translate them along."""
    return tuple(sorted(set(fields) - {_text_key(row, fields)})) if row.tool else ()


def _head(row: TaskType, fields: Sequence[str], *, pairs: bool) -> str:
    further = _further(row, fields)
    names = ["ToolError", *(["call_tool"] if row.tool else []), *(["call_tools_parallel"] if pairs else [])]
    keys = tuple(key for key in text_keys(row, fields) if key not in further)
    constants = [f'TASK_TYPE = "{row.name}"', f"TEXT_KEYS = {_tuple(keys)}"]
    constants += [f"FURTHER_KEYS = {_tuple(further)}"] if further else []
    runtime = f"from node_runtime import {', '.join(names)}"
    return "\n".join([_docstring(row, [keys[0], *further], pairs=pairs), PREAMBLE, runtime, "", *constants, ""])


def _tuple(keys: Sequence[str]) -> str:
    return "(" + ", ".join(f'"{key}"' for key in keys) + ("," if len(keys) == 1 else "") + ")"


def _docstring(row: TaskType, keys: Sequence[str], *, pairs: bool) -> str:
    first = f"ask {row.tool} once" if row.tool else f"ask {row.pair_tool} once a language pair"
    then = f", then {row.pair_tool} once a language pair with the answer" if row.tool and pairs else ""
    shown = [f'"{key}"' for key in ("id", *keys)] + (['"translationLanguages": [{"from", "to"}, …]'] if pairs else [])
    name = row.pair_key.replace("{", "").replace("}", "")
    names = '"result", "task_id", "task_type"' + (f', "translations": {{{name}: text}}' if pairs else "")
    return "\n".join([
        f'"""{row.name.capitalize()}: {first} with the text{then}.',
        "",
        textwrap.fill(f"Reads {{{', '.join(shown)}}} from standard input.", 118, break_long_words=False),
        f'Prints {{{names}}}, or {{"success": false, "error": …}}',
        "with exit status 2 for bad input and 1 for a tool that fails.",
        '"""',
        "",
    ])  # fmt: skip


def _work(row: TaskType, read: str, *, pairs: bool) -> list[str]:
    """Give the lines of the work itself."""
    if row.tool is None:
        return [f"text, pairs = {read}(task), read_pairs(task)",
                "if not pairs:",
                """    raise ValueError("'translationLanguages' must name at least one language pair.")""",
                "translations = translate(text, pairs)",
                "result = translations if len(pairs) > 1 else next(iter(translations.values()))",
                'document = {"result": result, "translations": translations}']  # fmt: skip
    if not pairs:
        return ['if task.get("translationLanguages"):',
                """    raise ValueError("This node makes no translations: leave 'translationLanguages' out.")""",
                f'document = {{"result": call_tool("{row.tool}", {read}(task))}}']  # fmt: skip
    return [f"text, pairs = {read}(task), read_pairs(task)",
            f'document = {{"result": call_tool("{row.tool}", text)}}',
            "if pairs:",
            '    document["translations"] = translate(document["result"], pairs)']  # fmt: skip
