"""Where a run's settings come from: flags or JSON, the environment, config.yaml in the workspace, defaults."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from code_evolver.core import yaml_strict
from code_evolver.core.errors import ConfigurationError, InputError
from code_evolver.core.settings import Layer, Resolved, from_config, from_environment, resolve
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
    """Resolve the settings of a door. Raises ConfigurationError that names key and file."""
    surroundings = from_environment(os.environ if environment is None else environment)
    workspace = resolve(given, surroundings).settings.workspace
    return resolve(given, surroundings, from_config(read_config(Path(workspace) / "config.yaml"), "config.yaml"))


def read_config(path: Path) -> Any:
    """Read config.yaml; None where there is none."""
    try:
        with path.open("rb") as file:
            return yaml_strict.load(file.read(yaml_strict.MAX_BYTES + 1), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Mend the file's rights.") from error
