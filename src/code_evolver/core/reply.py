"""Read what a model wrote: one program out of its fences, one plan out of its JSON. Nothing here raises.

A cut answer never comes this far (ModelTruncated), and nothing here closes a brace or a fence that was left open.
"""

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from code_evolver.core.errors import InputError
from code_evolver.core.findings import Finding
from code_evolver.core.strict_json import loads, show

PLAN_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "minLength": 1, "maxLength": 100},
        "description": {"type": "string", "minLength": 1, "maxLength": 600},
        "tools": {"type": "array", "items": {"type": "string", "maxLength": 64}, "maxItems": 12},
    },
    "required": ["title", "description", "tools"],
    "additionalProperties": False,
}
LONGEST_CODE = 64_000
MOST_FENCES = 40
_CODE_KEYS = ("workflow_code", "code", "program", "main.py")
_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([^\n`]*)$")
_PYTHON = frozenset({"python", "py", "python3", "py3"})
_OTHER = frozenset(
    {
        "json",
        "yaml",
        "yml",
        "bash",
        "sh",
        "shell",
        "console",
        "text",
        "txt",
        "toml",
        "javascript",
        "js",
        "diff",
        "output",
        "plaintext",
    }
)
_THINK = re.compile(r"<(think|thinking|reasoning|thought)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<(?:think|thinking|reasoning|thought)>", re.IGNORECASE)
_CLOSE = re.compile(r"</(?:think|thinking|reasoning|thought)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model means to do. Only words: tools are taken from the program's syntax tree, never from here."""

    title: str
    description: str
    tools: tuple[str, ...]


def strip_reasoning(text: str) -> str:
    """Take reasoning away that stands before the answer: closed, never closed, or with a lost beginning.

    Only what stands outside of fences and JSON counts: a program may hold these words.
    """
    first = re.search(r"```|~~~|[{]", text)
    opened = _OPEN.search(text)
    while opened and (first is None or opened.start() < first.start()):
        whole = _THINK.match(text, opened.start())
        if whole is None:
            return text[: opened.start()]
        text = text[: opened.start()] + text[whole.end() :]
        first = re.search(r"```|~~~|[{]", text)
        opened = _OPEN.search(text)
    closed = None if opened else _CLOSE.search(text)
    if closed and _CLOSE.search(text, closed.end()) is None and _is_outside(text, closed.start()):
        return text[closed.end() :]
    return text


def _is_outside(text: str, place: int) -> bool:
    return sum(1 for line in text[:place].split("\n") if _FENCE.match(line)) % 2 == 0


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")


def read_code(text: str) -> tuple[bytes | None, tuple[Finding, ...]]:
    """Find the one program in an answer: UTF-8 with LF and a final newline, or None and what was wrong.

    Findings are there exactly where the program is not. Taken, in this order: the only fence; of several those tagged python, then the longest; `workflow_code` in a JSON object; text
    without any fence that is a program as it stands.
    """
    words = _lines(strip_reasoning(_lines(text)))
    fences, is_open = _fences(words)
    found = _chosen(fences)
    if found is None and not is_open:
        found = _from_json(words, fences)
    if found is None and not fences and not is_open and _is_program(words):
        found = words
    if found is None:
        return None, (_no_program(words, is_open),)
    return _checked(found)


def _checked(code: str) -> tuple[bytes | None, tuple[Finding, ...]]:
    code = _lines(code).strip("\n") + "\n"
    if not code.strip():
        return None, (
            Finding("empty-program", 0, "The fenced block is empty.", "Put the whole program into the block."),
        )
    if len(code) > LONGEST_CODE:
        message = f"The program has {len(code)} characters; {LONGEST_CODE} are allowed."
        return None, (Finding("program-too-long", 0, message, "Write a shorter program."),)
    try:
        return code.encode("utf-8"), ()
    except UnicodeEncodeError as error:
        line = code.count("\n", 0, error.start) + 1
        return None, (
            Finding("not-utf-8", line, "The program holds half of a surrogate pair.", "Use whole characters."),
        )


def _no_program(words: str, is_open: bool) -> Finding:
    if is_open:
        return Finding(
            "open-fence",
            0,
            "The fenced block was not closed.",
            "Write the whole program in one ```python block and close it with ```.",
        )
    if not words.strip():
        return Finding(
            "empty-answer", 0, "The answer is empty.", "Answer with one ```python block that holds the whole program."
        )
    return Finding(
        "no-program",
        0,
        f"The answer holds no program: {show(words.strip(), 60)}.",
        "Answer with one ```python block that holds the whole program.",
    )


def _fences(text: str) -> tuple[list[tuple[str, str]], bool]:
    """Give (tag, content) of each block, and whether the last was left open.

    A line of a program may look like a fence (in a docstring). So a block ends at the first closing line after which what it
    holds is a whole program; where none is, at the first closing line.
    """
    lines = text.split("\n")
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(lines) and len(found) < MOST_FENCES:
        opening = _FENCE.match(lines[at])
        if opening is None:
            at += 1
            continue
        mark, tag = opening.group(1), opening.group(2).strip().lower().split(" ")[0].strip("{}.")
        ends = [n for n in range(at + 1, len(lines)) if _closes(lines[n], mark)]
        if not ends:
            return found, True
        end = ends[0]
        if tag in _PYTHON or not tag:
            end = next((n for n in ends[:8] if _is_program("\n".join(lines[at + 1 : n]))), end)
        found.append((tag, "\n".join(lines[at + 1 : end])))
        at = end + 1
    return found, False


def _closes(line: str, mark: str) -> bool:
    bare = line.strip()
    return len(bare) >= len(mark) and set(bare) == {mark[0]}


def _is_program(text: str) -> bool:
    """Say whether text parses as Python and does something (a bare word or sentence does not)."""
    if not text.strip() or len(text) > LONGEST_CODE:
        return False
    tree = _parsed(text, "exec")
    return isinstance(tree, ast.Module) and any(not isinstance(item, ast.Expr) for item in tree.body)


def _parsed(text: str, mode: str) -> ast.AST | None:
    """Parse without a word: Python would print its warnings about a model's string escapes to stderr."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode=mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _chosen(fences: list[tuple[str, str]]) -> str | None:
    tagged = [content for tag, content in fences if tag in _PYTHON]
    plain = [
        content
        for tag, content in fences
        if tag not in _PYTHON and tag not in _OTHER and not content.lstrip().startswith("{")
    ]
    pool = tagged or plain
    return max(pool, key=len) if pool else None


def _from_json(text: str, fences: list[tuple[str, str]]) -> str | None:
    for candidate in [content for _, content in fences] + [text]:
        value, _ = _first_object(candidate)
        for key in _CODE_KEYS:
            code = value.get(key) if value is not None else None
            if isinstance(code, str) and code.strip():
                inner, is_open = _fences(_lines(code))
                return code if is_open or not inner else _chosen(inner)
    return None


def read_plan(text: str) -> tuple[Plan | None, tuple[Finding, ...]]:
    """Find the plan: the first whole JSON object with title, description and tools. Repairs of small slips are told."""
    words = _lines(strip_reasoning(_lines(text)))
    value, notes = _first_object(words)
    if value is None:
        return None, notes or (
            Finding("no-json", 0, "The answer holds no JSON object.", "Answer with one JSON object and nothing else."),
        )
    title, description, tools = (value.get(key) for key in ("title", "description", "tools"))
    if not (isinstance(title, str) and isinstance(description, str) and isinstance(tools, list)) or _wrong(value):
        wrong = _wrong(value)
        mend = "Give title and description as text and tools as a list of tool names."
        return None, (*notes, Finding("bad-plan", 0, wrong, mend))
    names = tuple(dict.fromkeys(name.strip() for name in tools if name.strip()))
    return Plan(_one_line(title, 100), _one_line(description, 600), names), notes


def _wrong(plan: Mapping[str, Any]) -> str:
    for name in ("title", "description"):
        if not isinstance(plan.get(name), str) or not plan[name].strip():
            return f"The plan's {name} is missing or is no text."
    tools = plan.get("tools")
    if not isinstance(tools, list) or not all(isinstance(name, str) for name in tools):
        return "The plan's tools are no list of names."
    return ""


def _one_line(text: str, limit: int) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:limit]


def _first_object(text: str) -> tuple[Mapping[str, Any] | None, tuple[Finding, ...]]:
    """Read the first balanced object; one that is not strict JSON is mended gently, and the mending is told."""
    for start in [found.start() for found in re.finditer(r"\{", text)][:20]:
        end = _balanced(text, start)
        if end is None:
            continue
        piece = text[start:end]
        try:
            value = loads(piece)
        except InputError as error:
            if "stands twice" in error.message:
                return None, (Finding("duplicate-key", 0, error.message, "Give each key once."),)
            value, fix = _mended(piece)
            if value is not None:
                return value, (Finding("json-mended", 0, f"The JSON was not strict and was mended: {fix}."),)
            continue
        if isinstance(value, Mapping):
            return value, ()
    return None, ()


def _balanced(text: str, start: int) -> int | None:
    """Find the end of the object that begins at `start`, aware of strings."""
    depth = 0
    for token in re.finditer(r'"(?:[^"\\]++|\\.)*+"|[{}]', text[start:], re.DOTALL):
        if token.group() == "{":
            depth += 1
        elif token.group() == "}":
            depth -= 1
            if depth == 0:
                return start + token.end()
    return None


_STRING = r'"(?:[^"\\]++|\\.)*+"'


def _mended(piece: str) -> tuple[Mapping[str, Any] | None, str]:
    """Mend what small models often slip in: raw newlines in strings, trailing commas, Python's words, Python's quotes."""
    fixes = []
    text = re.sub(_STRING, lambda found: _escaped(found.group()), piece, flags=re.DOTALL)
    if text != piece:
        fixes.append("raw control characters in a string")
    for what, pattern, by in (
        ("a trailing comma", rf"({_STRING})|,(\s*[}}\]])", r"\2"),
        (
            "a Python constant",
            rf"({_STRING})|\b(True|False|None)\b",
            {"True": "true", "False": "false", "None": "null"},
        ),
    ):
        changed = re.sub(pattern, lambda found, by=by: _swap(found, by), text, flags=re.DOTALL)  # type: ignore[misc]
        if changed != text:
            fixes.append(what)
            text = changed
    try:
        value = loads(text)
    except InputError:
        value = _python_literal(piece)
        fixes = ["Python's quotes"]
    return (value, ", ".join(fixes)) if isinstance(value, Mapping) else (None, "")


def _swap(found: re.Match[str], by: str | Mapping[str, str]) -> str:
    if found.group(1) is not None:
        return found.group(1)
    return found.group(2) if isinstance(by, str) else by[found.group(2)]


def _escaped(string: str) -> str:
    table = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(table.get(char, "" if char < " " else char) for char in string)


def _python_literal(piece: str) -> Any:
    """Read {'title': …} as Python writes it. A key that stands twice is refused here too."""
    tree = _parsed(piece.strip(), "eval")
    if not isinstance(tree, ast.Expression) or not isinstance(tree.body, ast.Dict):
        return None
    try:
        keys = [ast.literal_eval(key) for key in tree.body.keys if key is not None]
        return ast.literal_eval(tree) if len(set(keys)) == len(keys) else None
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None
