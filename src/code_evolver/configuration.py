"""Where a run's settings come from: flags or JSON, the environment, config.yaml in the workspace, defaults."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from code_evolver.core import yaml_strict
from code_evolver.core.errors import ConfigurationError
from code_evolver.core.settings import Layer, Resolved, from_config, from_environment, resolve

SHIPPED = Path(__file__).resolve().parent / "tools"
"""In the wheel."""
CHECKOUT = Path(__file__).resolve().parents[2]
"""In a checkout: the repository."""


def shipped_root() -> Path:
    """Give the folder that holds the shipped tools/."""
    return SHIPPED.parent if SHIPPED.is_dir() else CHECKOUT


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
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", "Mend the file's rights.") from error
