"""The words agree with the program: commands run, tables are those of the code, nothing is left undocumented.

`python tests/test_docs.py` writes the generated tables anew.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from code_evolver.core import strict_json, yaml_strict
from code_evolver.core.errors import all_errors
from code_evolver.core.events import EVENTS
from code_evolver.core.llm_config import TYPES, read_config
from code_evolver.core.setting_table import ROWS
from code_evolver.core.settings import from_config
from code_evolver.edges import tool_http
from code_evolver.edges.manifests import load_manifests
from tests.docs_tables import GENERATED, TABLES, refreshed

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SET_UP = "python -m pip install -e . && python start_signalr_training.py --demo"
TEST = 'python -m pip install -e ".[test]" && python -m pytest'
FORBIDDEN = ("/work/", "/tmp/", "/farm/", "/home/", "secure sandbox", "cannot escape", "blazing", "seamless")
LIMIT_SECONDS = 100


# ── reading the pages ────────────────────────────────────────────────────────────────────────────────────────────────
def words(path: Path) -> str:
    """Give a page's text."""
    return path.read_text(encoding="utf-8")


def fenced(text: str) -> Iterator[tuple[str, str, str]]:
    """Give (mark, language, content) of each fenced block; the mark is an HTML comment on the line before."""
    for found in re.finditer(r"(?:<!-- ([a-z: ]+) -->\n)?```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield found[1] or "", found[2], found[3]


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, as the usual renderers make them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


RUNNABLE = [page for page in PAGES if any(mark.startswith("run") for mark, _, _ in fenced(words(page)))]


# ── running them ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def stranger(tmp_path):
    """A checkout as a stranger has it, with `python` and `code-evolver` on the path; gives (folder, environment)."""
    for name in ("src", "tools", "start_signalr_training.py", "node_runtime.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in (("python", ""), ("code-evolver", " -m code_evolver.cli")):
        shim = programs / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8", newline="\n")
        shim.chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CODE_EVOLVER_", "PYTHON"))}
    path = f"{programs}{os.pathsep}{kept['PATH']}"
    return tmp_path, {**kept, "PATH": path, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "TMPDIR": str(tmp_path)}


@pytest.fixture
def hub_port(stranger):
    """The embedded hub as `code-evolver demo-hub` serves it, on a free port."""
    folder, environment = stranger
    command = [sys.executable, "-m", "code_evolver.cli", "demo-hub", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)
    try:
        line = process.stdout.readline()
        yield line.rsplit(":", 1)[1].split("/")[0]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are written for bash")
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page, stranger, hub_port):
    folder, environment = stranger
    blocks = list(fenced(words(page)))
    script = "\n".join(body for mark, _, body in blocks if mark.startswith("run"))
    script = script.replace("python -m pip install -e . && ", "").replace("localhost:5000", f"localhost:{hub_port}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, check=False, timeout=LIMIT_SECONDS,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    printed = done.stdout.replace(f"localhost:{hub_port}", "localhost:5000").splitlines()
    assert done.returncode == 0, done.stdout
    for line in [line for mark, _, body in blocks if mark == "output" for line in body.splitlines()]:
        pieces = re.compile(".*".join(re.escape(piece.strip()) for piece in line.split("…")))
        assert any(pieces.search(one) for one in printed), f"{line!r} is not in:\n{done.stdout}"


def test_the_two_commands_stand_at_the_top_of_the_readme_word_for_word():
    commands = [body.strip() for _, language, body in fenced(words(ROOT / "README.md")) if language == "bash"]
    assert commands[:2] == [SET_UP, TEST]


# ── nothing is missing, nothing is invented ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_tables_are_current(page):
    assert words(page) == refreshed(words(page)), "Run `python tests/test_docs.py` to write the tables anew."


def test_every_table_has_its_place():
    used = {found[2] for page in PAGES for found in GENERATED.finditer(words(page))}
    assert used == set(TABLES)


def codes_in(path: Path) -> Iterator[str]:
    """Give the error codes that a source file gives to errors, dead letters and answers."""
    for node in ast.walk(ast.parse(words(path))):
        values: list[ast.expr | None] = []
        match node:
            case ast.keyword(arg="code", value=value):
                values = [value]
            case ast.Dict(keys=keys):
                pairs = zip(keys, node.values, strict=True)
                values = [value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "code"]
            case ast.Call(func=ast.Name(id="Trouble"), args=[_, _, value, *_]):
                values = [value]
            case ast.Call(func=ast.Name(id="Rejected"), args=[_, value, *_]):
                values = [value]
            case ast.Call(func=ast.Attribute(attr="fail"), args=[_, value, *_]):
                values = [value]
            case ast.ClassDef(body=body):
                values = [
                    one.value for one in body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "code"
                ]
        yield from (one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "bury":
            yield from (one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str))


def codes_of_the_program() -> set[str]:
    """Give every code there is."""
    written = {
        code for path in (ROOT / "src").rglob("*.py") for code in codes_in(path) if re.fullmatch(r"[a-z_]+", code)
    }
    return {*written, *(kind.code for kind in all_errors()), "not_a_task"}


def rows_of(page: str) -> dict[str, list[str]]:
    """Give the cells of each table row by the name in its first cell."""
    found = {}
    for line in words(ROOT / "docs" / page).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"`[a-z_]+`", cells[0]):
            found[cells[0].strip("`")] = cells
    return found


def test_the_list_of_error_codes_is_closed():
    assert set(rows_of("errors.md")) == codes_of_the_program()


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_ends_a_process_as_documented(kind):
    exit_column = rows_of("errors.md")[kind.code][1]
    assert exit_column in {str(kind.exit_code), "-"}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_documented_with_the_fields_that_it_promises(name):
    cells = rows_of("integration.md")[name]
    assert re.findall(r"`([a-z_]+)`", cells[1]) == list(EVENTS[name])


def test_no_event_is_invented():
    text = words(ROOT / "docs" / "integration.md")
    listed = re.findall(
        r"^\| `([a-z_]+)` \|", text[text.index("## Events") : text.index("## The result")], re.MULTILINE
    )
    assert sorted(listed) == sorted(EVENTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", words(page), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        whole = (page.parent / file) if file else page
        assert whole.is_file(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(words(whole)), f"{target}: {whole.name} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    named = re.findall(r"`((?:src|tests|tools|docs|benchmarks|\.ci)/[\w./-]*\w/?)`", words(page))
    named += [
        f"src/code_evolver/{name}" for name in re.findall(r"`((?:core|edges|child)/[\w./-]*\w\.py)`", words(page))
    ]
    for name in named:
        assert (ROOT / name).exists(), f"{name} is not there"


def test_the_program_names_pages_that_exist():
    named = {name for path in (ROOT / "src").rglob("*.py") for name in re.findall(r"docs/[a-z-]+\.md", words(path))}
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_knows_a_machine_or_promises_too_much(page):
    said = [word for word in FORBIDDEN if word in words(page).lower()]
    assert said == []


def yaml_of(page: str) -> list[str]:
    """Give the YAML blocks of a page."""
    return [body for _, language, body in fenced(words(ROOT / "docs" / page)) if language == "yaml"]


def test_the_configuration_that_is_shown_is_accepted():
    backends, tools = yaml_of("running.md")
    config = read_config(from_config(yaml_strict.load(backends.encode(), "shown")).sections["llm"])
    assert [backend.type for backend in config.backends.values()] == list(TYPES)
    found = tool_http.servers({}, from_config(yaml_strict.load(tools.encode(), "shown")).sections["tools"])
    assert found["nmt_translator"]["base_url"]


def test_the_manifest_that_is_shown_is_accepted(tmp_path):
    (manifest,) = yaml_of("integration.md")
    (tmp_path / "http").mkdir()
    (tmp_path / "http" / "glossary.yaml").write_text(manifest, encoding="utf-8")
    assert load_manifests([tmp_path])["glossary"].http


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_json_that_is_shown_is_json(page):
    for _, language, body in fenced(words(page)):
        if language == "json":
            strict_json.loads(body)


def test_flags_that_are_named_exist():
    known = {f"--{row.flag}" for row in ROWS.values() if row.flag} | {
        f"--no-{row.flag}" for row in ROWS.values() if row.flag
    }
    source = "".join(words(path) for path in (ROOT / "src" / "code_evolver").rglob("*.py"))
    for page in PAGES:
        if page.name == "CONTRIBUTING.md":
            continue  # flags of other programs
        for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"<!--.*?-->|\"--[a-z]+\"", "", words(page)))):
            others = {"--urls"}  # of `dotnet run`
            assert flag in known | others or f'"{flag}"' in source, f"{page.name} names {flag}"


if __name__ == "__main__":
    for one in PAGES:
        one.write_text(refreshed(words(one)), encoding="utf-8", newline="\n")
