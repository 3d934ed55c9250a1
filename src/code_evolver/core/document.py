"""A node's README: every fact from its program and its record, foreign text escaped, the same bytes every time."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from code_evolver.core.flow import mermaid, steps
from code_evolver.core.gate import tools_of
from code_evolver.core.strict_json import escape, kind

_MARKS = re.compile(r"([\\`*_{}\[\]()#!|~>]|^[-+=]|^\d+(?=\.))")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;_/+=?()[]{}-")
_LONGEST = 400
_LONGEST_PROSE = 800
_FAILURE = (
    'Where it fails: `{"success": false, "error": {"code", "message"}}` with exit status 2 for bad input, '
    "1 for a tool that fails."
)


def readme(name: str, code: bytes, record: Mapping[str, Any], prose: str = "", model: str = "") -> str:
    """Write the README of nodes/<name>; `record` is its node.json, of which any part may be missing.

    `prose` is what `model` said of the program: quoted and marked, because nothing holds it against the program.
    """
    parts = [
        f"# {plain(record.get('title') or name)}",
        plain(record.get("description") or ""),
        *(
            [
                f"> {plain(prose, _LONGEST_PROSE)}",
                f"(Written by a model, {plain(model or 'unnamed')}, and not checked.)",
            ]
            if prose
            else []
        ),
        *_interface(code, record),
        *_commands(name, record),
        "## Flow",
        "Read from the program's syntax tree.",
        f"```mermaid\n{mermaid(code)}```",
        *_proof(record),
        *_origin(name, record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: object, limit: int = _LONGEST) -> str:
    """Write foreign text as one line of Markdown that says it and obeys none of it: no markup, link, mention or HTML."""
    line = " ".join(escape(str(text)).split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    line = _MARKS.sub(_mark, line.replace("&", "&amp;").replace("<", "&lt;"))
    return line.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def _mark(found: re.Match[str]) -> str:
    mark = found.group()
    return f"{mark}\\" if mark.isdecimal() else f"\\{mark}"


def shell_safe_json(value: object) -> str:
    """Write JSON in ASCII that stands in single quotes of bash and PowerShell, and bare in cmd, as it is."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return re.sub(r'"((?:[^"\\]|\\.)*)"', lambda found: '"' + _hide(json.loads(found.group())) + '"', text)


def _hide(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    numbers = [int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2)]
    return "".join(chr(number) if chr(number) in _PLAIN else f"\\u{number:04x}" for number in numbers)


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def _interface(code: bytes, record: Mapping[str, Any]) -> list[str]:
    sample = _mapping(record.get("sample"))
    keys = [[f"`{key}`" if key.isidentifier() else plain(key), _shape(value)] for key, value in sample.items()]
    tools = [f"- `{tool}`" if tool.isidentifier() else f"- {plain(tool)}" for tool in _tools(code)]
    outputs = [f"- `{key}`" for key in output_keys(code)]
    return [
        "## Input",
        "One JSON object on standard input.",
        _table(["key", "value"], keys) if keys else "",
        "## Output",
        "One JSON document on standard output:",
        "\n".join(outputs) or "- `result`\n- `task_id`\n- `task_type`",
        _FAILURE,
        "## Tools",
        "\n".join(tools) or "None.",
    ]


def _tools(code: bytes) -> list[str]:
    """Give the tools in the order in which they are called."""
    called = [step.label for step in steps(code) if step.kind == "tool"]
    known = tools_of(code)
    return list(dict.fromkeys([*(tool for tool in called if tool in known), *known]))


def _shape(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return "a list of objects with " + ", ".join(
            f"`{key}`" if str(key).isidentifier() else plain(key) for key in value[0]
        )
    return kind(value)


def output_keys(code: bytes) -> tuple[str, ...]:
    """Give the keys of the document that a program prints when all is well, as far as its syntax tree shows them."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    names = [_keys(node) for node in nodes if isinstance(node, ast.Dict)]
    whole = [found for found in names if {"result", "task_id", "task_type"} & set(found) and "success" not in found]
    stored = [
        str(target.slice.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant)
    ]
    found = dict.fromkeys([*(key for keys in whole for key in keys), *(key for key in stored if key == "translations")])
    first = [key for key in ("result", "task_id", "task_type") if key in found]
    return (*first, *(key for key in found if key not in first and key.isidentifier()))


def _keys(node: ast.Dict) -> list[str]:
    return [key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def _commands(name: str, record: Mapping[str, Any]) -> list[str]:
    sample = shell_safe_json(_mapping(record.get("sample")))
    return [
        "## Try it",
        "From the workspace's folder; the tools must be able to answer.",
        f"bash:\n\n```bash\necho '{sample}' | python nodes/{name}/main.py\n```",
        f"PowerShell:\n\n```powershell\n'{sample}' | python nodes\\{name}\\main.py\n```",
        f"cmd:\n\n```bat\necho {sample} | python nodes\\{name}\\main.py\n```",
        f"Without any tool, with stub answers:\n\n```bash\ncode-evolver nodes try {name} --stub\n```",
    ]


def _proof(record: Mapping[str, Any]) -> list[str]:
    proof, level = _mapping(record.get("proof")), _mapping(record.get("isolation"))
    checks = [_mapping(check) for check in proof.get("checks", ())]
    rows = [[plain(check.get("name", "")), "passed" if check.get("passed") else "failed"] for check in checks]
    covers = [f"{plain(key)}: {_value(value)}" for key, value in _mapping(proof.get("covers")).items()]
    versions = [f"{plain(key)} {plain(str(value)[:12])}" for key, value in _mapping(proof.get("versions")).items()]
    weaker = "The type of the task is not a known one: only what holds for every node was checked."
    return [
        "## Proof",
        "Run with stub tools on a sample and on inputs made from it." if rows else "There is no proof on record.",
        _table(["check", "verdict"], rows) if rows else "",
        f"Covers {'; '.join(covers)}." if covers else "",
        weaker if proof.get("weaker") else "",
        f"Made by {', '.join(versions)}." if versions else "",
        f"Isolation: {plain(level.get('level', 'unknown'))} ({plain(level.get('detail', ''))})." if level else "",
        f"Repeat it with `code-evolver nodes verify {name_of(record)}`." if name_of(record) else "",
    ]


def name_of(record: Mapping[str, Any]) -> str:
    """Give the node's name as the record has it, where it is a plain one."""
    name = record.get("name")
    return name if isinstance(name, str) and re.fullmatch(r"[a-z0-9_]{1,80}", name) else ""


def _origin(name: str, record: Mapping[str, Any]) -> list[str]:
    made = _mapping(record.get("generator"))
    facts: list[tuple[str, Any]] = [
        ("type", record.get("task_type")),
        ("written by", " ".join(str(made[key]) for key in ("kind", "of", "backend", "model") if made.get(key))),
        ("attempts", made.get("attempts")),
        ("first task", record.get("source_task")),
        ("created", record.get("created")),
        ("version", record.get("version")),
        ("parent", record.get("parent")),
        ("sha256 of main.py", record.get("sha256")),
    ]
    rows = [[fact, plain(value)] for fact, value in facts if value not in (None, "")]
    return ["## Origin", f"Node `{name}`.", _table(["", ""], rows) if rows else ""]


def _value(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return plain(", ".join(map(str, value)) or "none")
    return plain({True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
