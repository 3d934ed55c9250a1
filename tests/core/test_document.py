"""A node's README says what its code and record say, and foreign text in it stays text."""

import json
import re
import shutil
import subprocess

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.document import output_keys, plain, readme, shell_safe_json
from code_evolver.core.task_types import TASK_TYPES

CODE = compose(TASK_TYPES["summarize"], translations=True, fields=("content", "tone"))
RECORD = {
    "name": "summarize_blog_post",
    "title": "Summarize blog post",
    "description": "Summarizes a text.",
    "task_type": "summarize",
    "sample": {
        "id": "sample-1",
        "content": 'The harbour\'s "old" quay: 100% & <more>, naïve 👍\n$HOME `x` ^!',
        "translationLanguages": [{"from": "en", "to": "fr"}],
    },
    "generator": {"kind": "model", "backend": "local", "model": "qwen2.5-coder", "attempts": 2},
    "proof": {
        "checks": [{"name": "gate", "passed": True}, {"name": "exit status", "passed": True}],
        "covers": {"languages": 5, "fields": ["content"], "shared_target": False},
        "versions": {"judge": "1"},
    },
    "isolation": {"level": "isolated", "detail": "seccomp sealed, Landlock ABI 7"},
    "source_task": "t-1",
    "sha256": "ab" * 32,
    "created": "2026-01-02T03:04:05Z",
    "version": 1,
    "parent": "",
}
HOSTILE = "x](http://evil.example) <script>alert(1)</script> `rm` **b** | @user\n# Title\n```\n![i](www.evil.example) \u202e &lt;"


def test_the_readme_holds_the_facts_of_code_and_record():
    text = readme("summarize_blog_post", CODE, RECORD)
    for fact in (
        "# Summarize blog post",
        "- `summarizer`\n- `quick_translator`",
        "- `result`\n- `task_id`\n- `task_type`\n- `translations`",
        "| `translationLanguages` | a list of objects with `from`, `to` |",
        "| exit status | passed |",
        "languages: 5; fields: content; shared\\_target: no",
        "isolated (seccomp sealed, Landlock ABI 7)",
        "| written by | model local qwen2.5-coder |",
        "code-evolver nodes verify summarize_blog_post",
    ):
        assert fact in text, fact
    assert text == readme("summarize_blog_post", CODE, RECORD)


def test_the_flow_shows_each_tool_its_condition_and_its_failure():
    flow = readme("n", CODE, RECORD).split("```mermaid\n")[1].split("```")[0]
    assert 'tool1["summarizer"]' in flow
    assert 'if2{"pairs?"}' in flow
    assert 'tool2["quick_translator<br/>all at once"]' in flow
    assert "tool2 -.-> failure" in flow


def test_foreign_text_is_neither_markup_nor_link_nor_html():
    hostile = {**RECORD, "title": HOSTILE, "description": HOSTILE, "source_task": HOSTILE, "parent": HOSTILE,
               "generator": {"kind": HOSTILE}, "sample": {HOSTILE: HOSTILE}, "name": HOSTILE,
               "proof": {"checks": [{"name": HOSTILE, "passed": True}], "covers": {HOSTILE: HOSTILE}},
               "isolation": {"level": HOSTILE, "detail": HOSTILE}}  # fmt: skip
    text = readme("n", CODE, hostile)
    fences = re.findall(r"^```\w*$", text, re.MULTILINE)
    assert fences == ["```bash", "```", "```powershell", "```", "```bat", "```", "```bash", "```", "```mermaid", "```"]
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "<script" not in text
    assert "http://" not in text
    assert "\u202e" not in text
    assert "@user" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert [line for line in text.splitlines() if line.startswith("# ")] == [f"# {plain(HOSTILE)}"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("- no item", "\\- no item"),
        ("12. no item", "12\\. no item"),
        ("a-b 1.5", "a-b 1.5"),
        ("== x", "\\== x"),
        ("a\n# b", "a \\# b"),
    ],
)
def test_the_beginning_of_a_line_makes_no_list_and_no_heading(text, written):
    assert plain(text) == written


def test_a_record_without_anything_still_gives_a_readme():
    text = readme("n", b"not python (", {})
    assert text.startswith("# n\n")
    assert "There is no proof on record." in text


def test_json_for_the_shell_has_only_letters_that_no_shell_obeys_and_means_the_same():
    written = shell_safe_json(RECORD["sample"])
    assert json.loads(written) == RECORD["sample"]
    assert not set(written) & set("'`$%!^&|<>\n")
    assert written.isascii()
    assert json.loads(shell_safe_json({"a\"'b": ["\\", "\ud83d"], "n": 1.5})) == {"a\"'b": ["\\", "\ud83d"], "n": 1.5}


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_the_bash_command_gives_the_program_the_sample():
    command = readme("n", CODE, RECORD).split("```bash\n")[1].split("\n```")[0]
    heard = subprocess.run(["bash", "-c", command.split(" | ")[0]], capture_output=True, check=True, timeout=10)
    assert json.loads(heard.stdout) == RECORD["sample"]


def test_output_keys_are_those_of_the_printed_document():
    code = b'd = {"result": 1, "task_id": 2}\nd["translations"] = {}\ne = {"success": False, "error": {"code": 1}}\nx = {"a": 1}'
    assert output_keys(code) == ("result", "task_id", "translations")
    assert output_keys(compose(TASK_TYPES["generate"], translations=False, fields=("prompt",)))[:3] == (
        "result", "task_id", "task_type",
    )  # fmt: skip
