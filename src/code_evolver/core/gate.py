"""The gate: what is wrong with a program before it is ever run. Pure: bytes in, findings out.

A filter for quality and an early warning; the wall is the sealed child. Each rule knows an attack that walks around a
weaker form of it: tests/attacks.
"""

import ast
import string
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeGuard

from code_evolver.core.findings import Finding
from code_evolver.core.gate_form import form_problems
from code_evolver.core.gate_tables import (
    ALL_BUILTINS,
    ATTRIBUTES,
    BUILTINS,
    CHILDREN,
    MAY_SHADOW,
    MODULES,
    NODES,
    RUNTIME_CALLS,
)
from code_evolver.core.gate_text import read_text
from code_evolver.core.gate_tools import read_tools
from code_evolver.core.preamble import RUNTIME_NAMES
from code_evolver.core.strict_json import show

GATE_VERSION = "1"
"""Rises with every change that may judge a program differently: nodes are then verified again."""
MOST_FINDINGS = 50
_MEND = {
    "syntax-not-allowed": "Use plain functions and statements.",
    "attribute-not-allowed": "Use methods of text, lists, dicts, dates and the listed modules.",
    "attribute-assignment": "Keep values in variables or dicts.",
    "module-as-value": "Write module.name.",
    "module-name-not-allowed": "Use another function of that module.",
    "import-not-allowed": "Use only: " + ", ".join(sorted(MODULES)) + "; everything else goes through tools.",
    "builtin-not-allowed": "Do without it: a workflow reads sys.stdin, calls tools and prints.",
    "unknown-name": "Define or import it at the top.",
    "rebinds-builtin": "Choose another name.",
    "rebinds-runtime": "Choose another name.",
    "decorator": "Call the function where it is needed.",
    "runtime-as-value": "Call it directly.",
    "dynamic-format": "Use an f-string, or .format on a literal with plain {fields}.",
    "type-as-value": "Use isinstance, or type(error).__name__.",
    "bare-except": "Name the exception.",
    "nested-import": "Import at the top.",
    "underscore": "Choose a name without two underscores in front.",
}


def check(code: bytes) -> tuple[Finding, ...]:
    """Give what is wrong with a program; () where it may be tried in a child. Never raises."""
    parsed = _parse(code)
    if isinstance(parsed, Finding):
        return (parsed,)
    try:
        return tuple(_all_findings(parsed))
    except (RecursionError, MemoryError):
        return (Finding("too-complex", 0, "The program is nested too deeply to be read.", "Write it flatter."),)


def tools_of(code: bytes) -> tuple[str, ...]:
    """Give the names of the tools that a program calls, in the order of its text; what cannot be read is left out."""
    parsed = _parse(code)
    return () if isinstance(parsed, Finding) else read_tools(list(nodes_of(parsed.body)))[0]


def tags_of(code: bytes) -> tuple[str, ...]:
    """Give the tags by which call_tool_resilient may choose other tools."""
    parsed = _parse(code)
    return () if isinstance(parsed, Finding) else read_tools(list(nodes_of(parsed.body)))[1]


def imports_of(code: bytes) -> frozenset[str]:
    """Give the modules that a program imports, allowed or not."""
    parsed = _parse(code)
    names: set[str] = set()
    for node in () if isinstance(parsed, Finding) else ast.walk(parsed):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return frozenset(names)


@lru_cache(maxsize=4)
def _parse(code: bytes) -> ast.Module | Finding:
    """Read a program; the tree is looked at only, so that the questions above share one."""
    text = read_text(code)
    if isinstance(text, Finding):
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape is the program's matter, not ours
            return ast.parse(text)
    except SyntaxError as error:
        return Finding("syntax", error.lineno or 0, f"Not Python: {error.msg}.", "Write valid Python 3.11.")
    except (MemoryError, RecursionError, ValueError):
        return Finding("too-complex", 0, "The program is nested too deeply to be read.", "Write it flatter.")


def _all_findings(tree: ast.Module) -> list[Finding]:
    findings, skipped = form_problems(tree)
    walker = _Walker(tree, skipped)
    walker.walk(tree.body)
    findings += walker.findings
    findings += read_tools(walker.nodes)[2]
    return sorted(findings, key=lambda finding: finding.line)[:MOST_FINDINGS]


def nodes_of(statements: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Give every node in the order of the text, parents first; of kinds that are not allowed only the node itself."""
    stack = [*reversed(statements)]
    while stack:
        node = stack.pop()
        yield node
        for field in reversed(CHILDREN.get(node.__class__, ())):
            value = getattr(node, field)
            if value.__class__ is list:
                stack += [item for item in reversed(value) if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                stack.append(value)


class _Walker:
    """Looks at every node once, parents before children, so that a parent can excuse a child.

    What a name means is known only when all is read: loads are judged at the end.
    """

    def __init__(self, tree: ast.Module, skipped: Sequence[ast.stmt]) -> None:
        self.findings: list[Finding] = []
        self.nodes: list[ast.AST] = []
        self._skipped = set(map(id, skipped))
        self._excused: set[int] = set()
        self._modules: dict[str, str] = {}
        self._from: set[str] = set()
        self._bound: set[str] = set()
        self._loads: list[ast.Name] = []
        self._formats: list[ast.Attribute] = []
        self._module_level: set[int] = set()
        self._texts: dict[str, list[ast.expr]] = {}
        self._visits: Mapping[type, Callable[..., None]] = {
            ast.Name: self._name, ast.Attribute: self._attribute, ast.Call: self._call, ast.FunctionDef: self._function,
            ast.Import: self._import, ast.ImportFrom: self._import_from, ast.arg: self._argument, ast.keyword: self._keyword,
            ast.ExceptHandler: self._handler, ast.Compare: self._compare, ast.MatchAs: self._capture,
            ast.MatchStar: self._capture, ast.MatchMapping: self._capture_rest, ast.Global: self._outer,
            ast.Nonlocal: self._outer, ast.BinOp: self._operator, ast.AugAssign: self._operator, ast.Assign: self._assign,
        }  # fmt: skip
        for statement in tree.body:
            self._read_top(statement)

    def walk(self, statements: Sequence[ast.stmt]) -> None:
        """Look at the whole program."""
        visits, judged = self._visits, self.nodes
        for node in nodes_of([statement for statement in statements if id(statement) not in self._skipped]):
            judged.append(node)
            kind = node.__class__
            special = visits.get(kind)
            if special is not None:
                special(node)
            elif kind not in NODES:
                self._find("syntax-not-allowed", node, f"{kind.__name__} is not allowed in a workflow.")
        for attribute in self._formats:
            self._format(attribute)
        for name in self._loads:
            self._load(name)

    def _find(self, rule: str, node: ast.AST, message: str) -> None:
        self.findings.append(Finding(rule, getattr(node, "lineno", 0), message, _MEND.get(rule, "")))

    def _read_top(self, statement: ast.stmt) -> None:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            self._module_level.add(id(statement))
        if isinstance(statement, ast.Import):
            self._modules.update({alias.asname or alias.name: alias.name for alias in statement.names})
        elif isinstance(statement, ast.ImportFrom):
            self._from |= {alias.asname or alias.name for alias in statement.names}
        elif isinstance(statement, ast.FunctionDef):
            self._module_level.add(id(statement))
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            self._module_level |= {id(node) for node in ast.walk(statement)}

    # ── names ──
    def _binds(self, name: str | None, node: ast.AST, *, module_level: bool) -> None:
        if not name:
            return
        self._bound.add(name)
        if name.startswith("__"):
            self._find("underscore", node, f"The name {show(name)} is Python's own.")
        if name in RUNTIME_NAMES or name in self._modules or name in self._from:
            self._find("rebinds-runtime", node, f"The name {show(name)} is imported and may mean nothing else.")
        elif name in ALL_BUILTINS and (module_level or name not in MAY_SHADOW):
            self._find("rebinds-builtin", node, f"The name {show(name)} is a builtin and may mean nothing else.")

    def _name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._binds(node.id, node, module_level=id(node) in self._module_level)
        elif id(node) not in self._excused and node.id not in BUILTINS:
            self._loads.append(node)

    def _load(self, node: ast.Name) -> None:
        if node.id in self._modules:
            self._find("module-as-value", node, f"The module {node.id} is used as a value.")
        elif node.id in RUNTIME_CALLS:
            self._find("runtime-as-value", node, f"{node.id} is used as a value.")
        elif node.id not in self._from and node.id not in self._bound:
            self._unknown(node)

    def _unknown(self, node: ast.Name) -> None:
        if node.id == "type":
            self._find("type-as-value", node, "type(…) may only stand as type(x).__name__ or in a comparison.")
        elif node.id in ALL_BUILTINS or node.id.startswith("__"):
            self._find("builtin-not-allowed", node, f"{node.id} is not allowed in a workflow.")
        else:
            self._find("unknown-name", node, f"The name {show(node.id)} is not defined.")

    def _argument(self, node: ast.arg) -> None:
        self._binds(node.arg, node, module_level=False)

    def _capture(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self._binds(node.name, node, module_level=False)

    def _capture_rest(self, node: ast.MatchMapping) -> None:
        self._binds(node.rest, node, module_level=False)

    def _outer(self, node: ast.Global | ast.Nonlocal) -> None:
        for name in node.names:
            self._binds(name, node, module_level=True)

    def _keyword(self, node: ast.keyword) -> None:
        if (node.arg or "").startswith("__"):
            self._find("underscore", node, f"The argument {show(node.arg)} is Python's own.")

    def _handler(self, node: ast.ExceptHandler) -> None:
        self._binds(node.name, node, module_level=False)
        if node.type is None:
            self._find("bare-except", node, "except without a name catches the end of the program too.")

    def _function(self, node: ast.FunctionDef) -> None:
        self._binds(node.name, node, module_level=id(node) in self._module_level)
        if node.decorator_list:
            self._find("decorator", node, "A decorator calls without saying so.")
        if getattr(node, "type_params", None):
            self._find("syntax-not-allowed", node, "Type parameters are not Python 3.11.")

    # ── attributes and calls ──
    def _attribute(self, node: ast.Attribute) -> None:
        base = node.value
        if not isinstance(node.ctx, ast.Load):
            self._find("attribute-assignment", node, f"The attribute {show(node.attr)} is changed.")
        if isinstance(base, ast.Name) and base.id in self._modules:
            self._excused.add(id(base))
            if node.attr not in MODULES.get(self._modules[base.id], ()):
                self._find("module-name-not-allowed", node, f"{base.id}.{node.attr} is not allowed in a workflow.")
        elif node.attr == "__name__" and _is_type_of(base):
            self._excused.add(id(base.func))
        elif node.attr == "format":
            self._formats.append(node)
        elif node.attr not in ATTRIBUTES:
            self._find("attribute-not-allowed", node, f"The attribute {show(node.attr)} is not allowed in a workflow.")

    def _format(self, node: ast.Attribute) -> None:
        literal = node.value
        if isinstance(literal, ast.Name):
            values = self._texts.get(literal.id, ())
            literal = values[0] if len(values) == 1 and id(values[0]) in self._module_level else literal
        if not (isinstance(literal, ast.Constant) and isinstance(literal.value, str) and _plain_fields(literal.value)):
            self._find("dynamic-format", node, ".format is used on text that is no literal with plain fields.")

    def _assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._texts.setdefault(target.id, []).append(node.value)

    def _operator(self, node: ast.BinOp | ast.AugAssign) -> None:
        if node.op.__class__ not in NODES:
            self._find(
                "syntax-not-allowed", node, f"The operator {type(node.op).__name__} is not allowed in a workflow."
            )

    def _call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in RUNTIME_CALLS and node.func.id in self._from:
            self._excused.add(id(node.func))

    def _compare(self, node: ast.Compare) -> None:
        for side in (node.left, *node.comparators):
            if _is_type_of(side):
                self._excused.add(id(side.func))

    # ── imports ──
    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name not in MODULES or "." in alias.name:
                self._find("import-not-allowed", node, f"The module {show(alias.name)} may not be imported.")
            self._imported(alias, node)

    def _import_from(self, node: ast.ImportFrom) -> None:
        names = RUNTIME_NAMES if node.module == "node_runtime" else MODULES.get(node.module or "", ())
        for alias in node.names:
            if node.level or alias.name not in names:
                what = f"{'.' * node.level}{node.module or ''}.{alias.name}"
                self._find("import-not-allowed", node, f"{show(what)} may not be imported.")
            self._imported(alias, node)

    def _imported(self, alias: ast.alias, node: ast.stmt) -> None:
        name = alias.asname
        if id(node) not in self._module_level:
            self._find("nested-import", node, "An import stands inside of a function.")
        if name is None:
            return
        if name in ALL_BUILTINS or name in RUNTIME_NAMES or alias.name in RUNTIME_NAMES or name.startswith("__"):
            self._find("rebinds-runtime", node, f"The import may not be called {show(name)}.")


def _is_type_of(node: ast.expr) -> TypeGuard[ast.Call]:
    """Say whether this is type(x) with one argument."""
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1
        and not node.keywords and not isinstance(node.args[0], ast.Starred)
    )  # fmt: skip


def _plain_fields(text: str) -> bool:
    """Say whether every {field}, also inside of format specs, is empty, a number or a plain name."""
    return all(
        field.isalnum() or not field.replace("_", "") or field.replace("_", "").isalnum() for field in _fields(text)
    )


def _fields(text: str) -> Iterator[str]:
    try:
        for _, field, spec, _ in string.Formatter().parse(text):
            if field is not None:
                yield field
                yield from _fields(spec or "")
    except ValueError:
        yield "."
