"""Reads the manifests of the tools that there are."""

from collections.abc import Sequence
from pathlib import Path

from code_evolver.core.errors import ManifestError
from code_evolver.core.manifest import Manifest, load
from code_evolver.core.yaml_strict import MAX_BYTES


def load_manifests(folders: Sequence[Path]) -> dict[str, Manifest]:
    """Read every *.yaml of the folders and of their sub-folders executable, llm, http and workflow.

    Among equal names, that of the earlier folder wins, so give the workspace's tools first. A missing folder has none.
    Raises ManifestError with file and line; two files of one folder with one name are an error too.
    """
    found: dict[str, Manifest] = {}
    for folder in folders:
        for name, manifest in _of_folder(folder).items():
            found.setdefault(name, manifest)
    return found


def _of_folder(folder: Path) -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    for part in (folder, *(folder / kind for kind in ("executable", "llm", "http", "workflow"))):
        for path in sorted(part.glob("*.yaml")) if part.is_dir() else ():
            manifest = read_manifest(path)
            if manifest.name in found:
                other = found[manifest.name].path
                raise ManifestError(f"{path} and {other} describe one tool, {manifest.name}.", "Keep one of them.")
            found[manifest.name] = manifest
    return found


def read_manifest(path: Path) -> Manifest:
    """Read one manifest. Raises ManifestError."""
    try:
        with path.open("rb") as file:
            return load(file.read(MAX_BYTES + 1), str(path))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}.", "Mend the file's rights.") from error
