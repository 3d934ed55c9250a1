"""Honest nodes in styles that people and models write. Each does what its type asks, none looks like the composer's."""

from code_evolver.core.preamble import PREAMBLE

SUMMARIZE_STRAIGHT = f'''"""Summarizes content and optionally translates the summary."""
{PREAMBLE}
from node_runtime import ToolError, call_tool


def main():
    try:
        data = json.load(sys.stdin)
    except ValueError:
        print(json.dumps({{"success": False, "error": {{"code": "bad_input", "message": "Not JSON"}}}}))
        sys.exit(2)
    if not isinstance(data, dict) or not isinstance(data.get("content"), str):
        print(json.dumps({{"success": False, "error": {{"code": "bad_input", "message": "Need content"}}}}))
        sys.exit(2)
    languages = data.get("translationLanguages") or []
    if not isinstance(languages, list):
        print(json.dumps({{"success": False, "error": {{"code": "bad_input", "message": "Need a list"}}}}))
        sys.exit(2)
    for language in languages:
        if not isinstance(language, dict) or not language.get("from") or not language.get("to"):
            print(json.dumps({{"success": False, "error": {{"code": "bad_input", "message": "Need from and to"}}}}))
            sys.exit(2)
    try:
        summary = call_tool("summarizer", data["content"])
        translations = {{}}
        done = set()
        for language in languages:
            pair = (language["from"], language["to"])
            if pair in done:
                continue
            done.add(pair)
            translations[language["to"]] = call_tool(
                "quick_translator", summary, source_language=language["from"], target_language=language["to"]
            )
    except ToolError as error:
        print(json.dumps({{"success": False, "error": {{"code": "tool_failed", "message": str(error)}}}}))
        sys.exit(1)
    output = {{"result": summary, "task_id": data.get("id"), "task_type": "summarize"}}
    if translations:
        output["translations"] = translations
    print(json.dumps(output))


if __name__ == "__main__":
    main()
'''

GENERATE_FUNCTIONAL = f'''"""Generate content."""
{PREAMBLE}
from typing import Any

from node_runtime import ToolError, call_tool, call_tools_parallel

GENERATOR = "content_generator"
TRANSLATOR = "quick_translator"


def fail(status: int, code: str, message: str) -> None:
    document = {{"success": False, "error": {{"code": code, "message": message}}}}
    print(json.dumps(document))
    sys.exit(status)


def load() -> dict[str, Any]:
    try:
        data = json.loads(sys.stdin.read())
    except ValueError:
        fail(2, "bad_input", "The input is not JSON.")
    if not isinstance(data, dict):
        fail(2, "bad_input", "The input is not an object.")
    prompt = data.get("prompt", data.get("content"))
    if not isinstance(prompt, str):
        fail(2, "bad_input", "There is no prompt.")
    return {{**data, "prompt": prompt}}


def pairs_of(data: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        pairs = [(item["from"], item["to"]) for item in data.get("translationLanguages") or []]
    except (TypeError, KeyError):
        fail(2, "bad_input", "The languages are wrong.")
    return sorted(set(pairs))


def translate_all(text: str, pairs: list[tuple[str, str]]) -> dict[str, str]:
    wanted = [
        {{"tool": TRANSLATOR, "prompt": text, "kwargs": {{"source_language": a, "target_language": b}}}} for a, b in pairs
    ]
    found: dict[str, str] = {{}}
    for (_, target), answer in zip(pairs, call_tools_parallel(wanted)):
        if isinstance(answer, ToolError):
            fail(1, answer.code, str(answer))
        found[target] = answer
    return found


def main() -> None:
    data = load()
    pairs = pairs_of(data)
    try:
        text = call_tool(GENERATOR, data["prompt"].strip())
    except ToolError as error:
        fail(1, error.code, str(error))
    translations = translate_all(text, pairs)
    print(json.dumps({{
        "result": text,
        "task_id": data.get("id", ""),
        "task_type": "generate",
        "translations": translations,
    }}, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
'''

TRANSLATE_CHUNKED = f'''"""Translate long texts in chunks."""
{PREAMBLE}
from node_runtime import ToolError, call_tool

CHUNK = 6000


FAILED = {{"success": False}}


def chunks(text):
    parts = [text[i:i + CHUNK] for i in range(0, len(text), CHUNK)]
    return parts if parts else [""]


def translate(text, source, target):
    pieces = []
    for part in chunks(text):
        pieces.append(call_tool("nmt_translator", part, source_language=source, target_language=target))
    return "".join(pieces)


def run(data):
    if not isinstance(data, dict):
        raise ValueError("expected an object")
    text = data.get("content")
    if not isinstance(text, str):
        raise ValueError("content must be text")
    languages = data.get("translationLanguages")
    if not isinstance(languages, list) or len(languages) == 0:
        raise ValueError("languages are required")
    translations = {{}}
    for language in languages:
        if not isinstance(language, dict):
            raise ValueError("a language must be an object")
        source, target = language.get("from"), language.get("to")
        if not source or not target:
            raise ValueError("a language is missing")
        key = f"{{source}}-{{target}}"
        if key not in translations:
            translations[key] = translate(text, source, target)
    values = list(translations.values())
    result = values[0] if len(values) == 1 else translations
    return {{"result": result, "task_id": data.get("id", ""), "task_type": "translate", "translations": translations}}


def main():
    try:
        output = run(json.loads(sys.stdin.read()))
    except ValueError as error:
        print(json.dumps({{**FAILED, "error": {{"code": "bad_input", "message": str(error)}}}}))
        sys.exit(2)
    except ToolError as error:
        print(json.dumps({{**FAILED, "error": {{"code": "tool_failed", "message": str(error)}}}}))
        sys.exit(1)
    print(json.dumps(output))


if __name__ == "__main__":
    main()
'''

SUMMARIZE_SMALL = f'''"""Summarize a text."""
{PREAMBLE}
from node_runtime import ToolError, call_tool


def summarize(data):
    if not isinstance(data, dict) or not isinstance(data.get("content"), str):
        return 2, {{"success": False, "error": {{"code": "bad_input", "message": "content is required"}}}}
    try:
        answer = call_tool("summarizer", data["content"], audience=data.get("audience", ""))
    except ToolError as error:
        return 1, {{"success": False, "error": {{"code": error.code, "message": str(error)}}}}
    return 0, {{"result": answer.strip(), "task_id": data.get("id", ""), "task_type": "summarize"}}


def main():
    try:
        data = json.load(sys.stdin)
    except ValueError:
        data = None
    status, output = summarize(data)
    sys.stdout.write(json.dumps(output) + "\\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
'''

PAIRS = [{"from": "en", "to": "fr"}, {"from": "de", "to": "it"}]
HONEST = {
    "summarize straight": ("summarize", {"content": "The Harbour opened in 1932.", "translationLanguages": PAIRS}, SUMMARIZE_STRAIGHT),
    "generate functional": ("generate", {"prompt": "Write a Note.", "translationLanguages": PAIRS}, GENERATE_FUNCTIONAL),
    "translate chunked": ("translate", {"content": "Keep Dry.", "translationLanguages": PAIRS}, TRANSLATE_CHUNKED),
    "summarize small": ("summarize", {"content": "The Harbour opened in 1932.", "audience": "Sailors"}, SUMMARIZE_SMALL),
}  # fmt: skip
"""name → (type, sample, code)"""
