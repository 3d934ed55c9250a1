"""The local check of an answer against its schema: a server's promise is not taken for granted."""

from collections.abc import Mapping
from typing import Any

import fastjsonschema

from code_evolver.core.errors import InputError
from code_evolver.core.schema_fit import compiled
from code_evolver.core.strict_json import canonical, escape, loads


def read_data(schema: Mapping[str, Any] | None, text: str) -> tuple[Any, str]:
    """Give the value that `text` holds and "", or None and what is wrong. A fence around the JSON is taken off.

    Without a schema: None and "".
    """
    if schema is None:
        return None, ""
    try:
        value = loads(_bare(text))
        compiled(canonical(schema))(value)
    except InputError as error:
        return None, f"the answer is not the JSON that was asked for: {error.message}"
    except fastjsonschema.JsonSchemaValueException as error:
        return None, f"the answer does not fit the schema: {escape(str(error.message)[:200])}"
    return value, ""


def _bare(text: str) -> str:
    words = text.strip()
    if words.startswith("```") and words.endswith("```") and "\n" in words:
        return words[words.index("\n") : -3]
    start, end = words.find("{"), words.rfind("}")
    return words[start : end + 1] if 0 <= start < end else words
