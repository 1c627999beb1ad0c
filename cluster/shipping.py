"""foldtune's own code on its way to a cluster, so that every node runs the code of the process that started it."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import foldtune

PARTS = ("search", "trainers", "spaces", "results", "cluster")
IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for the command of a submitted job, whose code was shipped with it."""


def in_job() -> bool:
    """Return whether this process is the command of a Ray job, or was started by one."""
    return IN_JOB in os.environ


@cache
def package_folder() -> Path:
    """Return the folder of the package `foldtune` that holds all of its code, in files or behind links.

    Ray follows links when it packs a folder. A checkout whose links became text files (a ZIP download, Windows) finds
    the five parts beside the package: then this is a copy in a temporary folder, removed when the process ends.
    """
    own = Path(foldtune.__file__).resolve().parent
    parts = {name: _folder_of(f"foldtune.{name}") for name in PARTS}
    if all((own / name).resolve() == folder for name, folder in parts.items()):
        return own
    temporary = mkdtemp(prefix="foldtune-code-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    copy = Path(temporary, "foldtune")
    copy.mkdir()
    for path in own.iterdir():
        if path.is_file() and path.name not in PARTS:
            shutil.copy2(path, copy)
    for name, folder in parts.items():
        shutil.copytree(folder, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{package} is not a folder that could be shipped")
    return Path(spec.submodule_search_locations[0]).resolve()


def runtime_env(**more: Any) -> dict[str, Any]:
    """Return Ray's runtime environment that carries the package; `more` are further keys of it."""
    return {"py_modules": [str(package_folder())], "excludes": ["**/__pycache__/"], **more}


@cache
def code_digest() -> str:
    """Return eight characters that differ where any source file of the package does, however it is installed."""
    digest = hashlib.sha256()
    for name, path in sorted(_sources(package_folder())):
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _sources(folder: Path) -> list[tuple[str, Path]]:
    """Return the Python files of a package with their names relative to it, also of those behind links."""
    found = []
    for root, _, names in os.walk(folder, followlinks=True):
        paths = [Path(root, name) for name in names if name.endswith(".py")]
        found += [(path.relative_to(folder).as_posix(), path) for path in paths]
    return found
