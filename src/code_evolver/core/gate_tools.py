"""Reads from the syntax tree which tools a program calls. Names may stand in literals, constants, tables and loops."""

import ast
from collections.abc import Iterator, Sequence

from code_evolver.core.findings import Finding

Binding = tuple[ast.expr, int]
"""A value a name may have: the expression itself (-1: whole; -2: each element; n: the nth part of each element)."""
WHOLE, EACH = -1, -2
MOST_STEPS = 12
_MEND = "Write the tool's name as a literal or as a module constant."


class Unreadable(Exception):
    """A tool's name that the text does not show."""


class ToolReader:
    """What one program's names may mean, over all scopes together."""

    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        self._nodes = nodes
        self._is_read = False
        self._bound: dict[str, list[Binding]] = {}
        self._added: dict[str, list[tuple[str, ast.expr]]] = {}
        self._parameters: dict[str, list[tuple[str, int]]] = {}
        self._defaults: dict[tuple[str, str], ast.expr] = {}
        self._sites: dict[str, list[ast.Call]] = {}

    def _read(self) -> None:
        """Note what names mean: only for programs where a tool's name is not written on the spot."""
        if not self._is_read:
            self._is_read = True
            for node in self._nodes:
                self._note(node)

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, WHOLE)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value):
                self._bind(target, value, WHOLE)
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                self._bind(target, value, EACH)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                self._added.setdefault(name, []).append(("extend", value))
            case ast.FunctionDef(name=name, args=arguments):
                self._note_function(name, arguments)
            case ast.Call(func=ast.Name(id=name)):
                self._sites.setdefault(name, []).append(node)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend" as how), args=[value]):
                self._added.setdefault(name, []).append((how, value))

    def _note_function(self, name: str, arguments: ast.arguments) -> None:
        plain = [*arguments.posonlyargs, *arguments.args]
        for place, argument in enumerate([*plain, *arguments.kwonlyargs]):
            self._parameters.setdefault(argument.arg, []).append((name, place if place < len(plain) else 1000))
        for argument, default in zip(reversed(plain), reversed(arguments.defaults), strict=False):
            self._defaults[name, argument.arg] = default
        for argument, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if given is not None:
                self._defaults[name, argument.arg] = given

    def _bind(self, target: ast.expr, value: ast.expr, how: int) -> None:
        if isinstance(target, ast.Name):
            self._bound.setdefault(target.id, []).append((value, how))
        elif isinstance(target, ast.Tuple) and how == EACH:
            for place, part in enumerate(target.elts):
                if isinstance(part, ast.Name):
                    self._bound.setdefault(part.id, []).append((value, place))

    def _values(self, name: str, steps: int) -> Iterator[ast.expr]:
        """Give every expression that `name` may stand for. Raises Unreadable where there is none or one is hidden."""
        self._read()
        found = False
        for value, how in self._bound.get(name, ()):
            found = True
            if how == WHOLE:
                yield value
            else:
                yield from (self._part(element, how) for element in self._elements(value, steps))
        for function, place in self._parameters.get(name, ()):
            found = True
            yield from self._given(function, name, place)
        if not found:
            raise Unreadable(name)

    def _given(self, function: str, parameter: str, place: int) -> Iterator[ast.expr]:
        for site in self._sites.get(function, ()):
            named = [word.value for word in site.keywords if word.arg == parameter]
            if named or place < len(site.args):
                yield named[0] if named else site.args[place]
            elif (function, parameter) in self._defaults:
                yield self._defaults[function, parameter]
            else:
                raise Unreadable(parameter)

    @staticmethod
    def _part(element: ast.expr, how: int) -> ast.expr:
        if how == EACH:
            return element
        if isinstance(element, (ast.Tuple, ast.List)) and how < len(element.elts):
            return element.elts[how]
        raise Unreadable

    def _elements(self, value: ast.expr, steps: int) -> Iterator[ast.expr]:
        """Give the elements of an iterable that stands in the text."""
        if steps <= 0:
            raise Unreadable
        match value:
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                for part in parts:
                    yield from self._elements(part.value, steps - 1) if isinstance(part, ast.Starred) else (part,)
            case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part):
                yield part
            case ast.BinOp(left=left, op=ast.Add(), right=right) | ast.IfExp(body=left, orelse=right):
                yield from self._elements(left, steps - 1)
                yield from self._elements(right, steps - 1)
            case ast.Call():
                yield from self._elements_of_call(value, steps - 1)
            case ast.Name(id=name):
                for meant in self._values(name, steps - 1):
                    yield from self._elements(meant, steps - 1)
                for how, added in self._added.get(name, ()):
                    yield from (added,) if how == "append" else self._elements(added, steps - 1)
            case _:
                raise Unreadable

    def _elements_of_call(self, call: ast.Call, steps: int) -> Iterator[ast.expr]:
        match call:
            case ast.Call(func=ast.Name(id="list" | "tuple" | "sorted" | "reversed" | "set"), args=[inner, *_]):
                yield from self._elements(inner, steps)
            case ast.Call(func=ast.Attribute(value=table, attr="values" | "items" as kind), args=[]):
                yield from self._table(table, kind, steps)
            case ast.Call(func=ast.Name(id="list" | "set"), args=[]):
                return  # empty: filled by append
            case _:
                raise Unreadable

    def _table(self, table: ast.expr, how: str, steps: int) -> Iterator[ast.expr]:
        for meant in self._values(table.id, steps) if isinstance(table, ast.Name) else (table,):
            if not isinstance(meant, ast.Dict):
                raise Unreadable
            for key, value in zip(meant.keys, meant.values, strict=True):
                if key is None:
                    raise Unreadable
                yield value if how == "values" else ast.Tuple([key, value], ast.Load())

    def texts(self, value: ast.expr, steps: int = MOST_STEPS) -> Iterator[str]:
        """Give every text that `value` may be. Raises Unreadable."""
        if steps <= 0:
            raise Unreadable
        match value:
            case ast.Constant(value=str() as text):
                yield text
            case ast.IfExp(body=left, orelse=right):
                yield from self.texts(left, steps - 1)
                yield from self.texts(right, steps - 1)
            case ast.Subscript(value=table):
                for meant in self._table(table, "values", steps - 1):
                    yield from self.texts(meant, steps - 1)
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, *default]):
                for meant in (*self._table(table, "values", steps - 1), *default):
                    yield from self.texts(meant, steps - 1)
            case ast.Name(id=name):
                for meant in self._values(name, steps - 1):
                    yield from self.texts(meant, steps - 1)
            case _:
                raise Unreadable

    def entries(self, value: ast.expr) -> Iterator[str]:
        """Give the tools of a call_tools_parallel argument. Raises Unreadable."""
        for element in self._elements(value, MOST_STEPS):
            yield from self._entry(element, MOST_STEPS)

    def _entry(self, element: ast.expr, steps: int) -> Iterator[str]:
        if steps <= 0:
            raise Unreadable
        match element:
            case ast.Tuple(elts=[tool, *_]) | ast.List(elts=[tool, *_]):
                yield from self.texts(tool)
            case ast.Dict(keys=keys, values=values):
                named = [
                    v
                    for k, v in zip(keys, values, strict=True)
                    if isinstance(k, ast.Constant) and k.value in ("tool", "name")
                ]
                if not named or None in keys:
                    raise Unreadable
                for tool in named:
                    yield from self.texts(tool)
            case ast.IfExp(body=left, orelse=right):
                yield from self._entry(left, steps - 1)
                yield from self._entry(right, steps - 1)
            case ast.Name(id=name):
                for meant in self._values(name, steps - 1):
                    yield from self._entry(meant, steps - 1)
            case _:
                raise Unreadable

    def tags(self, call: ast.Call) -> Iterator[str]:
        """Give the tags that a call_tool_resilient names. Raises Unreadable."""
        for word in call.keywords:
            if word.arg == "tags":
                if isinstance(word.value, ast.Constant):
                    yield from self.texts(word.value)
                    continue
                for element in self._elements(word.value, MOST_STEPS):
                    yield from self.texts(element)

    def tools(self, call: ast.Call) -> Iterator[str]:
        """Give the tools that one call may reach; none where it is no tool call. Raises Unreadable."""
        match call.func:
            case ast.Name(id="call_llm"):
                yield "call_llm"
            case ast.Name(id="call_tools_parallel"):
                yield from self.entries(_first(call))
            case ast.Name(id="call_tool" | "call_tool_resilient") | ast.Attribute(attr="call" | "then"):
                yield from self.texts(_first(call))


def _first(call: ast.Call) -> ast.expr:
    if call.args and not isinstance(call.args[0], ast.Starred):
        return call.args[0]
    raise Unreadable


def read_tools(nodes: Sequence[ast.AST]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Finding, ...]]:
    """Give (tools, tags, findings where a name cannot be read), tools and tags in the order of the text."""
    reader = ToolReader(nodes)
    tools: dict[str, None] = {}
    tags: dict[str, None] = {}
    findings: list[Finding] = []
    for node in nodes:
        if isinstance(node, ast.Call):
            try:
                tools.update(dict.fromkeys(reader.tools(node)))
                if isinstance(node.func, ast.Name) and node.func.id == "call_tool_resilient":
                    tags.update(dict.fromkeys(reader.tags(node)))
            except (Unreadable, RecursionError):
                message = "The text does not show which tool is called here."
                findings.append(Finding("tool-not-readable", node.lineno, message, _MEND))
    return tuple(tools), tuple(tags), tuple(findings)
