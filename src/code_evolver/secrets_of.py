"""Everything secret that a run knows of, for the second pass over what leaves it (the first: never put it in)."""

import json
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from code_evolver.core.redact import Redactor, forms
from code_evolver.core.settings import Resolved
from code_evolver.core.strict_json import dumps

_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_SHORTEST = 6
_LONGEST_FILE = 64 * 1024
"""Bytes."""
LEARNT = 64
"""Secrets that came up in a run and are still hidden: a result names the last twenty errors, and an attempt to connect
brings up three at most (token, redirect's token, cookie)."""


def secrets_of(resolved: Resolved, environment: Mapping[str, str] | None = None) -> list[str]:
    """Give the token, the headers' values, what key files hold, and environment variables that are or hold keys."""
    settings = resolved.settings
    surroundings = os.environ if environment is None else environment
    found = [settings.access_token or "", *settings.headers.values()]
    found += [value for name, value in surroundings.items() if any(word in name.upper() for word in _NAMES)]
    rows = [*_rows(resolved.sections, "llm", "backends"), *_rows(resolved.sections, "tools")]
    found += [surroundings.get(str(row.get("api_key_env")), "") for row in rows]
    files = [settings.access_token_file, *(row.get("api_key_file") for row in rows)]
    found += [_text_of(str(name)) for name in files if name]
    return [secret for secret in found if len(secret) >= _SHORTEST]


def _rows(sections: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    """Give the mappings under a part of config.yaml, which has not been checked yet."""
    part: Any = sections
    for key in path:
        part = part.get(key) if isinstance(part, Mapping) else None
    return [row for row in part.values() if isinstance(row, Mapping)] if isinstance(part, Mapping) else []


def _text_of(name: str) -> str:
    try:
        with Path(name).expanduser().open("rb") as file:
            return file.read(_LONGEST_FILE).decode("utf-8-sig", "replace").strip()
    except (OSError, RuntimeError):
        return ""  # whoever needs the file says what is wrong with it


def _bare(secret: str) -> str:
    return secret.removeprefix("Bearer ").removeprefix("Basic ").strip()


class Secrets:
    """Cleans what leaves a run. Secrets that come up while it lasts (a command's token, a redirect's) are learnt.

    The latest LEARNT of these are kept: a connection may bring new ones each time, for as long as a run lasts.
    """

    def __init__(self, known: Iterable[str]) -> None:
        """Take those known at the start, which are never forgotten."""
        self._known = {form for one in known for form in (one, _bare(one)) if len(form) >= _SHORTEST}
        self._redactor = self._lasting = Redactor(self._known)
        self._learnt: dict[str, set[str]] = {}  # the forms of each, the latest last

    def learn(self, secret: str) -> None:
        """Hide this one too from now on, at least until LEARNT others have come up since it was last learnt."""
        bare = _bare(secret)
        if len(bare) < _SHORTEST or bare in self._known:
            return
        known = self._learnt.pop(bare, None)
        self._learnt[bare] = known or forms(bare)
        if known is None:
            if len(self._learnt) > LEARNT:
                del self._learnt[next(iter(self._learnt))]
            # Another object: the thread that writes events may be cleaning a text right now.
            self._redactor = self._lasting.knowing(chain.from_iterable(self._learnt.values()))

    def clean(self, text: str) -> str:
        """Give a text without them."""
        return self._redactor.clean(text)

    def clean_document(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Give a JSON object without them; as it is where none is in it."""
        text = dumps(document)
        cleaned = self.clean(text)
        try:
            found = document if cleaned == text else json.loads(cleaned)
        except ValueError:  # a secret that is a piece of JSON's own marks
            found = {"success": document.get("success", False)}
        return dict(found)
