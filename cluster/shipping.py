"""foldtune's own code on its way to a cluster, so that every node runs the very code that was started."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("search", "trainers", "spaces", "results", "cluster")
IN_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for the command of a submitted job, whose code was shipped with it."""


def in_job() -> bool:
    """Whether this process is the command of a Ray job, or was started by one."""
    return IN_JOB in os.environ


@cache
def package_folders() -> tuple[Path, ...]:
    """Folders of foldtune's packages as they are imported here."""
    folders = []
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(f"foldtune's package {name!r} is not a folder that could be shipped")
        folders.append(Path(spec.submodule_search_locations[0]).resolve())
    return tuple(folders)


def runtime_env(**more: Any) -> dict[str, Any]:
    """Ray's runtime environment that carries the packages; `more` are further keys of it."""
    modules = [str(folder) for folder in package_folders()]
    return {"py_modules": modules, "excludes": ["**/__pycache__/"], **more}


@cache
def code_digest() -> str:
    """Eight characters that differ where any source file of the packages does."""
    digest = hashlib.sha256()
    for folder in package_folders():
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{folder.name}/{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
