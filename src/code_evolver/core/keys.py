"""Keys of hub objects, whatever their casing: "llmTaskType", "LLMTaskType", "llm_task_type" and "lLMTask-Type" are one."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

_LONGEST = 64


@lru_cache(maxsize=4096)
def _folded(key: str) -> str:
    letters = "".join(char for char in key.lower() if char.isalnum())
    return "$" + letters if key[:1] in {"$", "@"} else letters  # "$type", "@id" are a serialiser's, not the sender's


def fold(key: str) -> str:
    """Give `key` in lower case, letters and digits only; a key over 64 characters is no name that we know: itself."""
    return _folded(key) if len(key) <= _LONGEST else key


def by_folded_key(found: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values by folded key; of two keys that fold alike the first value that is not null stays."""
    folded = {fold(key): value for key, value in found.items()}
    if len(folded) == len(found):
        return folded
    folded = {}
    for key, value in found.items():
        if folded.get(fold(key)) is None:
            folded[fold(key)] = value
    return folded


def first(found: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """Give the first value that is not null, of `keys` in order; None where there is none."""
    for key in keys:
        value = found.get(key)
        if value is not None:
            return value
    return None
