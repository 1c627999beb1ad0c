"""Finding what a command was pointed at: a stored ensemble by the name or folder of its run, or by its own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foldtune.errors import RunCorrupt, RunNotFound
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.names import no_ensemble, possible_roots
from foldtune.search.runs.run import open_run


def find_ensemble(name: str, storage: Path | str) -> EnsembleDir:
    """The ensemble of a run, or that in a folder: names under `storage` (`skin`, `skin/ensemble`), or paths.

    Raises:
        RunNotFound: no such run, or none was made of it yet.
        InputError: it is a group of runs.
    """
    for root in possible_roots(name, storage):
        if EnsembleDir(root).exists():
            return EnsembleDir(root)
    ensemble = open_run(name, storage).store.ensemble
    if not ensemble.exists():
        raise RunNotFound(no_ensemble(name))
    return ensemble


def read_ensemble(name: str, storage: Path | str) -> dict[str, Any]:
    """What ensemble.json of `find_ensemble` holds.

    Raises:
        RunNotFound: as `find_ensemble`.
        RunCorrupt: it cannot be read, or lacks its estimate.
    """
    directory = find_ensemble(name, storage)
    description = directory.read()
    if description is None or not isinstance(description.get("estimate"), dict):
        raise RunCorrupt(f"{directory.json_path} lacks the estimate; `foldtune ensemble` writes it again")
    return description
