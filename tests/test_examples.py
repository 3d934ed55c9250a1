"""The example nodes of the repository were made by the program itself, and are what it makes today.

To make them anew: delete nodes/, registry.json and .code_evolver/, then `code-evolver replay docs/examples.jsonl`.
"""

import json
import shutil

from tests.acceptance_kit import CLI, ROOT, run

NAMES = {"summarize_blog_post", "generate_email_content", "translate_product_description"}


def test_the_examples_are_proven_by_this_very_judge_runtime_and_manifests(tmp_path):
    shutil.copytree(ROOT / "nodes", tmp_path / "nodes")
    code, printed, _ = run([*CLI, "nodes", "verify", "--all", "--workspace", str(tmp_path), "--json"])
    assert code == 0, printed
    assert {row["name"]: (row["verdict"], row["why"]) for row in printed["nodes"]} == dict.fromkeys(NAMES, ("ok", ""))


def test_the_program_makes_the_same_examples_today(tmp_path):
    recording = str(ROOT / "docs" / "examples.jsonl")
    code, printed, _ = run([*CLI, "replay", recording, "--workspace", str(tmp_path), "--compare", str(ROOT), "--json"])
    assert code == 0, printed
    made, kept = (
        json.loads((where / "registry.json").read_text(encoding="utf-8"))["nodes"] for where in (tmp_path, ROOT)
    )
    assert made.keys() == kept.keys() == NAMES
    assert {name: row["sha256"] for name, row in made.items()} == {name: row["sha256"] for name, row in kept.items()}
