"""foldtune's own code on its way to a cluster, so that every node runs the very code that was started."""

from __future__ import annotations

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
    """Whether this process is the command of a Ray job, or was started by one."""
    return IN_JOB in os.environ


@cache
def package_folder() -> Path:
    """Folder of the package `foldtune` that holds all of its code as files.

    Where the five parts lie beside it (an editable install of a source tree), this is a copy in a temporary folder.
    """
    own = Path(foldtune.__file__).resolve().parent
    parts = {name: _folder_of(f"foldtune.{name}") for name in PARTS}
    if all(folder == own / name for name, folder in parts.items()):
        return own
    copy = Path(mkdtemp(prefix="foldtune-code-")) / "foldtune"
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
    """Eight characters that differ where any source file of the package does."""
    digest = hashlib.sha256()
    folder = package_folder()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
