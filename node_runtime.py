"""What every node imports first.

In a node that is started by hand (`python nodes/<name>/main.py`) this import does not return: the program is checked
and run in a sealed child, and the process ends with its exit code. Anywhere else it offers the functions over the real
toolbox of the workspace.
"""

import os
import sys

NAMES = ("ToolChain", "ToolError", "call_llm", "call_tool", "call_tool_resilient", "call_tools_parallel")
__all__ = list(NAMES)


def _node_file() -> str:
    """Give the path of nodes/<name>/main.py where that is the program that was started, else ""."""
    file = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    path = os.path.abspath(file) if file else ""  # noqa: PTH100 - pathlib costs 6 ms
    folder, name = os.path.split(path)
    is_node = name == "main.py" and os.path.basename(os.path.dirname(folder)) == "nodes"  # noqa: PTH119, PTH120 - as above
    return path if is_node else ""


def _distrust(path: str) -> None:
    """Let no module come from the node's folder, and from the workspace only what is found nowhere else."""
    folder = os.path.dirname(path)  # noqa: PTH120 - as above
    root = os.path.dirname(os.path.dirname(folder))  # noqa: PTH120 - as above
    kept = [entry for entry in sys.path if entry not in ("", folder, root)]
    sys.path[:] = [*kept, root]
    _forget_strays(folder)


def _forget_strays(folder: str) -> None:
    """Drop what Python took from the node's folder before we were asked (a json.py there comes before the real one)."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name != "__main__" and os.path.dirname(os.path.abspath(file)) == folder:  # noqa: PTH100, PTH120 - as above
            del sys.modules[name]
            where = os.path.basename(file)  # noqa: PTH119 - as above
            sys.stderr.write(
                f"code-evolver: WARNING: {where!a} beside main.py was run by Python in place of {name!a}. Remove it.\n"
            )


def _find_package() -> None:
    """Let a checkout work that is not installed: the package lies beside this file, in src/."""
    from importlib.util import find_spec  # here: after the node's folder left sys.path

    if find_spec("code_evolver") is None:
        sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "src"))  # noqa: PTH100, PTH118, PTH120 - as above


def _take_over(path: str) -> None:
    """Run the node in its child and end this process."""
    _find_package()
    from pathlib import Path  # here: after the node's folder left sys.path

    from code_evolver.host import run_node_by_hand  # as above

    code = run_node_by_hand(Path(path))
    sys.stdout.flush()
    os._exit(
        code
    )  # nothing of the node's own file may run after this, not even an `except SystemExit` around the import


def __getattr__(name: str) -> object:
    """Build the functions when the first is asked for."""
    if name not in NAMES:
        raise AttributeError(f"module 'node_runtime' has no attribute {name!r}")
    _find_package()
    from importlib.util import module_from_spec, spec_from_file_location  # here: costs 2 ms
    from pathlib import Path  # here: as above

    import code_evolver  # here: as above

    # Loaded by path, as the child does: one implementation, and nothing imports the child's folder.
    spec = spec_from_file_location("_node_api", Path(code_evolver.__file__).parent / "child" / "runtime.py")
    if spec is None or spec.loader is None:
        raise ImportError("code_evolver/child/runtime.py is missing: install Code Evolver again.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    globals().update(module.Runtime(_ask_toolbox).names())
    return globals()[name]


def _ask_toolbox(calls: list[dict[str, object]]) -> list[dict[str, str]]:
    """Answer calls by the tools of the workspace."""
    from pathlib import Path  # here: only a program that calls a tool pays for the toolbox

    from code_evolver.assembly import answerer  # as above
    from code_evolver.core.child_frames import write_answer  # as above
    from code_evolver.core.trials import Call  # as above

    answer = answerer(Path(os.environ.get("CODE_EVOLVER_WORKSPACE") or "."))
    asked = [Call(str(call["tool"]), str(call["prompt"]), dict(call["arguments"])) for call in calls]  # type: ignore[call-overload]
    return [write_answer(one) for one in answer(asked)]


_path = _node_file()
if _path:
    _distrust(_path)
    _take_over(_path)
