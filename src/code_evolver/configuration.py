"""Where a run's settings come from: flags or JSON, the environment, config.yaml in the workspace, defaults."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from code_evolver.core import yaml_strict
from code_evolver.core.errors import ConfigurationError, InputError
from code_evolver.core.settings import ROWS, Layer, Resolved, from_config, from_environment, resolve
from code_evolver.core.strict_json import show

SHIPPED = Path(__file__).resolve().parent / "tools"
"""In the wheel."""
CHECKOUT = Path(__file__).resolve().parents[2]
"""In a checkout: the repository."""


def shipped_root() -> Path:
    """Give the folder that holds the shipped tools/."""
    return SHIPPED.parent if SHIPPED.is_dir() else CHECKOUT


def workspace_flag(arguments: Sequence[str]) -> dict[str, str]:
    """Read the one flag of the JSON tools: {"workspace": DIR} for --workspace DIR, {} for none. Raises InputError."""
    match list(arguments):
        case []:
            return {}
        case ["--workspace", where] if where:
            return {"workspace": where}
        case [word] if word.startswith("--workspace=") and word != "--workspace=":
            return {"workspace": word.partition("=")[2]}
    raise InputError(
        f"The arguments {show(' '.join(arguments), 60)} are not understood.", "Give --workspace DIR, or none."
    )


def load(given: Layer, environment: Mapping[str, str] | None = None) -> Resolved:
    """Resolve the settings of a door; `~` at the beginning of a path is the home folder.

    Raises ConfigurationError that names key and file.
    """
    surroundings = from_environment(os.environ if environment is None else environment)
    workspace = _from_home(resolve(given, surroundings)).settings.workspace
    config = from_config(read_config(Path(workspace) / "config.yaml"), "config.yaml")
    return _from_home(resolve(given, surroundings, config))


def _from_home(resolved: Resolved) -> Resolved:
    given = {row.name: getattr(resolved.settings, row.name) for row in ROWS.values() if row.kind.metavar == "PATH"}
    # Not Path.expanduser, which raises for ~name where there is no such user; a folder may have such a name.
    paths = {name: os.path.expanduser(path) for name, path in given.items() if path}  # noqa: PTH111
    return replace(resolved, settings=replace(resolved.settings, **paths))


def read_config(path: Path) -> Any:
    """Read config.yaml; None where there is none."""
    try:
        with path.open("rb") as file:
            return yaml_strict.load(file.read(yaml_strict.MAX_BYTES + 1), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Mend the file's rights.") from error
