"""The form that every workflow has: docstring, fixed preamble, imports, constants, functions, main guard."""

import ast
from collections.abc import Iterator

from code_evolver.core.findings import Finding
from code_evolver.core.gate_tables import RUNTIME_CALLS
from code_evolver.core.preamble import PREAMBLE

_FIXED = ast.parse(PREAMBLE).body
_GUARD = ast.parse('__name__ == "__main__"', mode="eval").body
_STARTS = [ast.parse(text).body[0] for text in ("main()", "sys.exit(main())", "raise SystemExit(main())")]
_PREAMBLE_MEND = "Begin with exactly these lines after the docstring, then import from node_runtime:\n" + PREAMBLE
_TOP_MEND = "Put it into a function that main calls."
_GUARD_MEND = 'End with: if __name__ == "__main__": main()'


def form_problems(tree: ast.Module) -> tuple[list[Finding], list[ast.stmt]]:
    """Give what is wrong with the form, and the statements that are right by being fixed (not to be looked at again)."""
    body = tree.body[1:] if tree.body and _is_text(tree.body[0]) else tree.body
    findings, fixed, rest = _preamble(body)
    guard = rest[-1] if rest and isinstance(rest[-1], ast.If) else None
    findings += list(_guard(guard))
    if guard is not None:
        rest = rest[:-1]
    findings += [problem for statement in rest for problem in _top(statement)]
    return findings, fixed + ([guard] if guard is not None else [])


def _same(one: object, other: object) -> bool:
    """Say whether two small trees are equal, wherever they stand."""
    if one.__class__ is not other.__class__:
        return False
    if isinstance(one, ast.AST):
        return all(_same(getattr(one, name, None), getattr(other, name, None)) for name in one._fields)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _preamble(body: list[ast.stmt]) -> tuple[list[Finding], list[ast.stmt], list[ast.stmt]]:
    fixed: list[ast.stmt] = []
    for place, statement in enumerate(body):
        if isinstance(statement, ast.ImportFrom) and statement.module == "node_runtime":
            if len(fixed) == len(_FIXED):
                return [], fixed, body[place:]
            break
        if len(fixed) < len(_FIXED) and _same(statement, _FIXED[len(fixed)]):
            fixed.append(statement)
        elif not isinstance(statement, (ast.Import, ast.ImportFrom)):
            break
    line = body[0].lineno if body else 0
    message = "The program does not begin with the fixed preamble and the import from node_runtime."
    return [Finding("preamble", line, message, _PREAMBLE_MEND)], fixed, [s for s in body if s not in fixed]


def _guard(guard: ast.If | None) -> Iterator[Finding]:
    if guard is None:
        yield Finding("main-guard", 0, "The program does not end with the main guard.", _GUARD_MEND)
    elif (
        not _same(guard.test, _GUARD)
        or guard.orelse
        or len(guard.body) != 1
        or not any(_same(guard.body[0], start) for start in _STARTS)
    ):
        yield Finding("main-guard", guard.lineno, "The main guard does more than start main.", _GUARD_MEND)


def _top(statement: ast.stmt) -> Iterator[Finding]:
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef)):
        return
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or not all(
        isinstance(name, ast.Name) for name in targets
    ):
        message = "Only imports, constants, functions and the main guard may stand at the top level."
        yield Finding("top-level", statement.lineno, message, _TOP_MEND)
    elif any(isinstance(node, ast.Name) and node.id in _DOING for node in ast.walk(statement)):
        yield Finding("top-level", statement.lineno, "A constant calls a tool, prints or reads.", _TOP_MEND)


_DOING = RUNTIME_CALLS | {"print", "sys", "json"}
