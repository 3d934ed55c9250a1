"""The floors of the house, held against the code: who may import whom, what core may use, how large rooms are."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
OURS = "code_evolver"
CHILD = "code_evolver.child"

WORK = ("core", "ports", "patience", "worker")
ASSEMBLED = (*WORK, "edges", "proof", "shelf", "prompting", "configuration", "assembly", "intake", "reporter", "requests",
             "early", "stopping", "secrets_of")  # fmt: skip
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "core": ("core",),
    "ports": ("core",),
    "edges": ("core", "ports", "edges"),  # its own room only, see below
    "patience": ("core", "ports"),
    "worker": ("core", "ports", "patience"),
    "proof": ("core", "ports"),
    "intake": ("core", "ports"),
    "reporter": ("core", "ports", "patience"),
    "prompting": ("core", "ports"),
    "prose": ("core", "ports", "prompting"),
    "configuration": ("core",),
    "secrets_of": ("core",),
    "early": (),
    "stopping": ("early",),
    "requests": ("core", "ports", "edges"),
    "shelf": ("core", "ports", "edges", "worker", "proof"),
    "assembly": (*WORK, "edges", "proof", "shelf", "prompting", "configuration", "secrets_of"),
    "connector": ASSEMBLED,
    "host": (*ASSEMBLED,),
    "help_text": (),
    "executables": (*ASSEMBLED, "connector", "executables", "help_text", "prose"),
    "launcher": ("core", "early"),
    "live": ("core",),
    "demo": ("core", "demo"),
    "demo_process": ("core",),
    "commands": (
        *ASSEMBLED,
        "connector",
        "launcher",
        "live",
        "demo",
        "demo_process",
        "executables",
        "cli",
        "commands",
        "host",
    ),
    "cli": ("commands", "help_text", "early"),
    "child": (),
}
"""Part of the package → parts that it may import."""

PURE = {
    "abc", "ast", "base64", "binascii", "builtins", "collections", "contextlib", "dataclasses", "datetime", "difflib", "email",
    "enum", "fastjsonschema", "functools", "hashlib", "heapq", "html", "ipaddress", "itertools", "json", "keyword", "math",
    "operator", "re", "shlex", "statistics", "string", "struct", "sys", "textwrap", "tokenize", "types", "typing", "unicodedata", "urllib", "warnings",
    "yaml", "graphlib", "bisect", "decimal", "fractions", "io", "symtable",
}  # fmt: skip
CLOCKS = {"datetime.now", "datetime.utcnow", "date.today", "datetime.today", "time.time", "time.monotonic"}
FORBIDDEN_IN_CORE = {"open", "print", "input", "hash"}
"""Calls that do, or that differ between runs."""


def imports(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too; `from a import b` counts as a.b, and as a unless a.b is a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names
            if not names <= FILES.keys():  # what is no module of ours is a name in the module itself
                found.add(node.module or "")
    return found


def part(module: str) -> str:
    """The part of the package that a module belongs to ("" for the package itself)."""
    return module.removeprefix(OURS).lstrip(".").split(".", 1)[0]


GRAPH = {name: {other for other in imports(path) if other in FILES and other != name} for name, path in FILES.items()}
"""The package itself (`import code_evolver` for its version) is no node of the graph: it imports nothing."""


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_follow_the_table(name):
    own = part(name)
    if not own:
        assert not GRAPH[name]
        return
    for wanted in GRAPH[name] - {OURS}:
        assert part(wanted) in MAY_IMPORT[own], f"{name} must not import {wanted}"


def test_there_is_no_ring():
    TopologicalSorter({name: wanted - {OURS} for name, wanted in GRAPH.items()}).prepare()


ROOMS = {"child_process": "trial", "child_spawn": "trial", "windows_job": "trial"}
"""Files of one edge that are no folder."""


@pytest.mark.parametrize("name", sorted(name for name in FILES if part(name) == "edges"))
def test_no_edge_imports_another(name):
    def room(module):
        return ROOMS.get(module.split(".")[2], module.split(".")[2])

    for wanted in GRAPH[name]:
        if part(wanted) == "edges" and wanted.count(".") > 1:
            assert room(wanted) == room(name), f"{name} must not import {wanted}"


@pytest.mark.parametrize("name", sorted(name for name in FILES if part(name) == "core"))
def test_the_core_is_pure(name):
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    for wanted in imports(FILES[name]):
        if part(wanted) and wanted.startswith(OURS):
            continue
        assert wanted.split(".")[0] in PURE | {OURS}, f"{name} imports {wanted}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_IN_CORE, f"{name}:{node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute):
            asked = ast.unparse(node)
            assert asked not in CLOCKS, f"{name}:{node.lineno} asks for the time"


def test_the_child_uses_the_standard_library_alone():
    for path in (SOURCE / "code_evolver" / "child").glob("*.py"):
        for wanted in imports(path):
            top = wanted.split(".")[0]
            assert top in sys.stdlib_module_names or top in {
                path.stem for path in (SOURCE / "code_evolver" / "child").glob("*.py")
            }, f"{path.name} imports {wanted}"


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
            first = body[1].lineno if documented and len(body) > 1 else body[0].lineno
            yield node.name, (body[-1].end_lineno or first) - first + 1


@pytest.mark.parametrize("name", sorted(FILES))
def test_rooms_are_small(name):
    path = FILES[name]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{name} is too long"
    for function, length in functions(path):
        assert length <= 40, f"{name}.{function} has {length} lines"


@pytest.mark.parametrize("name", sorted(FILES))
def test_an_import_inside_a_function_has_its_reason_beside_it(name):
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    tree = ast.parse("\n".join(lines))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            reasons = [node for node in inner if "#" in lines[node.lineno - 1]]
            assert not inner or reasons, f"{name}.{function.name} imports without a reason"


def test_broad_excepts_stand_at_two_doors_only():
    broad = []
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and part(name) != "child":
                caught = ast.unparse(node.type) if node.type else "everything"
                if re.search(r"\b(Exception|BaseException|everything)\b", caught):
                    broad.append(f"{name}:{node.lineno}")
    assert len(broad) <= 2, broad


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_waits_in_a_way_that_may_swallow_a_stop(name):
    """`asyncio.wait_for` of Python 3.11 drops a cancellation that comes when what it waits for is done; asyncio.timeout does not."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    asked = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | imports(FILES[name])
    assert "asyncio.wait_for" not in asked, f"{name} uses asyncio.wait_for"
