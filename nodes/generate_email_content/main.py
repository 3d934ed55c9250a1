"""Generate: ask content_generator once with the text, then quick_translator once a language pair with the answer.

Reads {"id", "prompt", "translationLanguages": [{"from", "to"}, …]} from standard input.
Prints {"result", "task_id", "task_type", "translations": {to: text}}, or {"success": false, "error": …}
with exit status 2 for bad input and 1 for a tool that fails.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from node_runtime import ToolError, call_tool, call_tools_parallel

TASK_TYPE = "generate"
TEXT_KEYS = ("prompt", "content")


def read_task():
    """Read one JSON object that can be written again (no NaN, no half of a surrogate pair)."""
    task = json.load(sys.stdin)
    json.dumps(task, ensure_ascii=False, allow_nan=False).encode("utf-8")
    if not isinstance(task, dict):
        raise ValueError("The input must be one JSON object.")
    return task


def read_text(task):
    """Give the text to work on; empty text is text."""
    text = next((task[key] for key in TEXT_KEYS if task.get(key) is not None), None)
    if not isinstance(text, str):
        raise ValueError("The task has no text: give 'prompt'.")
    return text


def read_pairs(task):
    """Give the language pairs (from, to) in their order, each once."""
    entries = task.get("translationLanguages")
    if entries is None:
        return []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("'translationLanguages' must be a list of objects with 'from' and 'to'.")
    pairs = [(entry.get("from"), entry.get("to")) for entry in entries]
    if not all(isinstance(code, str) and code for pair in pairs for code in pair):
        raise ValueError("Each language pair needs 'from' and 'to'.")
    return list(dict.fromkeys(pairs))


def translate(text, pairs):
    """Give a translation a pair, all asked for at once; one that fails fails the node."""
    answers = call_tools_parallel(
        [("quick_translator", text, {"source_language": source, "target_language": target}) for source, target in pairs]
    )
    for answer in answers:
        if isinstance(answer, ToolError):
            raise answer
    targets = [target for _, target in pairs]
    # Pairs that share a target are named by both languages, so that none is lost.
    names = [to if targets.count(to) == 1 else f"{source}-{to}" for source, to in pairs]
    return dict(zip(names, answers, strict=True))


def failure(code, error):
    """Give the document of a task that could not be done."""
    return {"success": False, "error": {"code": code, "message": str(error)}}


def main():
    """Read one task, do the work, print one JSON document."""
    task, status = {}, 0
    try:
        task = read_task()
        text, pairs = read_text(task), read_pairs(task)
        document = {"result": call_tool("content_generator", text)}
        if pairs:
            document["translations"] = translate(document["result"], pairs)
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
