"""Everything secret that a run knows of, for the second pass over what leaves it (the first: never put it in)."""

import os
from collections.abc import Mapping

from code_evolver.core.settings import Resolved

_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")


def secrets_of(resolved: Resolved, environment: Mapping[str, str] | None = None) -> list[str]:
    """Give the token, the headers' values, and the values of environment variables that are named like secrets."""
    settings = resolved.settings
    found = [settings.access_token or "", *settings.headers.values()]
    surroundings = os.environ if environment is None else environment
    found += [value for name, value in surroundings.items() if any(word in name.upper() for word in _NAMES)]
    return [secret for secret in found if len(secret) >= 6]
