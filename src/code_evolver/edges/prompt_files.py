"""Prompts and answers behind accepted programs, where the setting keep_prompts asks for them.

They hold what a hub sent, so they stand in .code_evolver/ and not beside the node, which people share.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from code_evolver.core.journey import Generated
from code_evolver.ports import Emit


class PromptFiles:
    """One file a node: <folder>/<node>.json. Known secrets are taken out of every text."""

    def __init__(self, folder: Path, clean: Callable[[str], str], emit: Emit) -> None:
        """Take the folder (made when first needed), what takes secrets out, and where trouble is told."""
        self._folder = folder
        self._clean = clean
        self._emit = emit

    def keep(self, node: str, task_id: str, made: Generated) -> None:
        """Write a node's file anew. A file that cannot be written is told and costs nothing else."""
        accepted = {"generator": f"{made.generator.get('backend')}/{made.generator.get('model')}", "code": made.code.decode(),
                    "prompt": made.prompt, "answer": made.answer, "findings": []}  # fmt: skip
        document = {"node": node, "task_id": task_id, "drafts": [*(draft.as_dict() for draft in made.drafts), accepted]}
        path = self._folder / f"{node}.json"
        draft = path.with_name(f".{path.name}.new")
        text = json.dumps(self._cleaned(document), ensure_ascii=True, indent=1) + "\n"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(handle, "w", encoding="utf-8", newline="\n") as file:  # noqa: PTH123 - a handle, not a path
                file.write(text)
            draft.replace(path)
        except OSError as error:
            self._emit("notice", message=f"The prompts of {node} cannot be kept in {self._folder}: {error.strerror}.")

    def _cleaned(self, value: Any) -> Any:
        """Clean each text by itself: in the written JSON a pattern could swallow quotes."""
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, dict):
            return {key: self._cleaned(inner) for key, inner in value.items()}
        return [self._cleaned(inner) for inner in value] if isinstance(value, list) else value
