"""What the base install weighs: `python benchmarks/weight.py [--checkout DIR]`.

A fresh virtual environment, `pip install` of the checkout: packages (ours included; pip and setuptools, which the environment
brings, are not) and megabytes on disk without bytecode.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES_LIMIT, MEGABYTES_LIMIT = 18, 30.0
BROUGHT = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence.pth")
COPIED = (
    "src",
    "tools",
    "nodes",
    "node_runtime.py",
    "start_signalr_training.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


def installed(checkout: Path, folder: Path) -> Path:
    """Install a copy (pip writes into what it builds) and give the site-packages."""
    source = folder / "checkout"
    source.mkdir()
    for name in COPIED:
        path = checkout / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.is_file():
            shutil.copy(path, source / name)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-qq", "--no-compile", "--disable-pip-version-check", source], check=True
    )
    subprocess.run(
        [folder / "venv" / "bin" / "code-evolver", "--version"], check=True, stdout=subprocess.DEVNULL, cwd=folder
    )
    return next((folder / "venv" / "lib").glob("python*/site-packages"))


def weights(site: Path) -> dict[str, float]:
    """Give megabytes by top name in site-packages, without bytecode and without what the environment brought."""
    found: dict[str, float] = {}
    for path in site.rglob("*"):
        top = path.relative_to(site).parts[0]
        if (
            path.is_file()
            and "__pycache__" not in path.parts
            and top.split("-")[0] not in BROUGHT
            and top not in BROUGHT
        ):
            found[top] = found.get(top, 0.0) + path.stat().st_size / 1e6
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        site = installed(options.checkout, Path(name))
        found = weights(site)
    packages = sorted(top.split("-")[0] for top in found if top.endswith(".dist-info"))
    total = sum(found.values())
    for top, size in sorted(found.items(), key=lambda one: -one[1])[:12]:
        print(f"  {size:6.2f} MB  {top}")
    print(
        f"packages     {len(packages):>6}      limit ≤ {PACKAGES_LIMIT}      {'ok' if len(packages) <= PACKAGES_LIMIT else 'OVER'}   {', '.join(packages)}"
    )
    print(
        f"on disk      {total:>6.1f} MB   limit ≤ {MEGABYTES_LIMIT:g} MB   {'ok' if total <= MEGABYTES_LIMIT else 'OVER'}   (Python {sys.version.split()[0]})"
    )


if __name__ == "__main__":
    main()
