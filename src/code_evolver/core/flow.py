"""What a program does, in order, read from its syntax tree: input, tool calls, loops, conditions, output."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from code_evolver.core.gate import tools_of

_DEEPEST = 8
_LABEL = 60
_LOOPS = (ast.For, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a program does."""

    kind: Literal["input", "tool", "output"]
    label: str
    """The tool's name; "" for input and output."""
    loop: str = ""
    """What it is done for ("each language in languages"); "" for once."""
    condition: str = ""
    """What must hold for it; "" for always."""


class _Reader:
    """Follows calls of the program's own functions from main() on."""

    def __init__(self, tree: ast.Module, tools: tuple[str, ...]) -> None:
        self._functions: Mapping[str, ast.FunctionDef] = {
            node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)
        }
        self._tools = tools
        self._constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._inside: list[str] = []

    def steps(self) -> Iterator[Step]:
        """Give the steps of main()."""
        yield from self._function("main")

    def _function(self, name: str) -> Iterator[Step]:
        if name in self._functions and name not in self._inside and len(self._inside) < _DEEPEST:
            self._inside.append(name)
            for statement in self._functions[name].body:
                yield from self._visit(statement)
            self._inside.pop()

    def _visit(self, node: ast.AST) -> Iterator[Step]:
        if isinstance(node, ast.If):
            yield from self._visit(node.test)
            yield from self._under(node.body, condition=ast.unparse(node.test))
            yield from self._under(node.orelse, condition=f"not ({ast.unparse(node.test)})")
        elif isinstance(node, _LOOPS):
            yield from self._visit(node.iter if isinstance(node, ast.For) else node.test)
            yield from self._under([*node.body, *node.orelse], loop=_loop(node))
        elif isinstance(node, _COMPREHENSIONS):
            yield from self._comprehension(node)
        elif isinstance(node, ast.Call):
            for part in [node.func, *node.args, *node.keywords]:
                yield from self._visit(part)
            yield from self._call(node)
        elif not isinstance(node, ast.FunctionDef | ast.Lambda):
            for child in ast.iter_child_nodes(node):
                yield from self._visit(child)

    def _under(self, body: list[ast.stmt], *, condition: str = "", loop: str = "") -> Iterator[Step]:
        for statement in body:
            for step in self._visit(statement):
                yield replace(step, condition=step.condition or _short(condition), loop=step.loop or _short(loop))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Iterator[Step]:
        first = node.generators[0]
        yield from self._visit(first.iter)
        loop = _short(f"each {ast.unparse(first.target)} in {ast.unparse(first.iter)}")
        for part in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            yield from (replace(step, loop=step.loop or loop) for step in self._visit(part))

    def _call(self, node: ast.Call) -> Iterator[Step]:
        called = ast.unparse(node.func)
        if called in self._functions:
            yield from self._function(called)
        elif called in {"json.load", "json.loads", "sys.stdin.read"}:
            yield Step("input", "")
        elif called in {"print", "sys.stdout.write", "json.dump"}:
            yield Step("output", "")
        elif called in {"call_tool", "call_tool_resilient"} and node.args:
            yield Step("tool", self._text(node.args[0]) or "a tool")
        elif called == "call_llm":
            yield Step("tool", "call_llm")
        elif called == "call_tools_parallel":
            yield from (Step("tool", tool, loop="all at once") for tool in self._named_here())
        elif called.endswith((".call", ".then")) and node.args and self._text(node.args[0]) in self._tools:
            yield Step("tool", self._text(node.args[0]))

    def _text(self, node: ast.expr) -> str:
        value = node.value if isinstance(node, ast.Constant) else None
        value = self._constants.get(node.id) if isinstance(node, ast.Name) else value
        return value if isinstance(value, str) else ""

    def _named_here(self) -> list[str]:
        """Give the tools that this function names but does not call one by one."""
        inside = list(ast.walk(self._functions[self._inside[-1]]))
        single = {
            self._text(node.args[0])
            for node in inside
            if isinstance(node, ast.Call)
            and node.args
            and ast.unparse(node.func) in {"call_tool", "call_tool_resilient"}
        }
        named = {self._text(node) for node in inside if isinstance(node, ast.Constant | ast.Name)}
        return [tool for tool in self._tools if tool in named and tool not in single] or ["several tools"]


def _loop(node: ast.For | ast.While) -> str:
    if isinstance(node, ast.For):
        return f"each {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
    return f"while {ast.unparse(node.test)}"


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else text[: _LABEL - 1] + "…"


def steps(code: bytes) -> tuple[Step, ...]:
    """Give the steps of a program that the gate has passed; () for code that cannot be parsed.

    Where failures are printed apart, only the last output counts; the input counts once.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found = list(_Reader(tree, tools_of(code)).steps())
    tools = list(dict.fromkeys(step for step in found if step.kind == "tool"))
    reads = [Step("input", "")] if any(step.kind == "input" for step in found) else []
    prints = [Step("output", "")] if any(step.kind == "output" for step in found) else []
    return (*reads, *tools, *prints)


# ── Mermaid ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def mermaid(code: bytes) -> str:
    """Draw the steps of a program as Mermaid text, without the fence."""
    tools = [step for step in steps(code) if step.kind == "tool"]
    lines = ["flowchart TD", '    input(["JSON on standard input"])']
    last, failing = ["input"], ["input"]
    for number, step in enumerate(tools, 1):
        name = f"tool{number}"
        if step.condition:
            lines.append(f'    if{number}{{"{quoted(step.condition)}?"}}')
            lines += [f"    {one} --> if{number}" for one in last]
            lines.append(f"    if{number} -->|yes| {name}")
            last = [f"if{number}"]
        else:
            lines += [f"    {one} --> {name}" for one in last]
            last = []
        loop = f"<br/>{quoted(step.loop)}" if step.loop else ""
        lines.append(f'    {name}["{quoted(step.label)}{loop}"]')
        last.append(name)
        failing.append(name)
    lines += [f"    {one} -->{'|no| ' if one.startswith('if') else ' '}output" for one in last]
    lines += ['    output(["result: JSON on standard output"])', '    failure(["failure object, exit 1 or 2"])']
    lines += [f"    {one} -.-> failure" for one in failing]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Write foreign text so that Mermaid shows it and obeys none of it: all but letters, digits and blanks by number."""
    return "".join(char if char.isalnum() or char in " _" else f"#{ord(char)};" for char in text if char.isprintable())
