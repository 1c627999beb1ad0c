"""Look-up of stored ensembles by a name under the storage, by the folder of a run, or by their own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foldtune.errors import RunCorrupt, RunNotFound
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.names import is_run, no_ensemble, no_run, possible_roots
from foldtune.search.runs.group import find_group
from foldtune.search.runs.run import open_run


def find_ensemble(name: str, storage: Path | str) -> EnsembleDir:
    """Return the ensemble of a run, or that of a folder: names under `storage` (`skin`, `skin/ensemble`), or paths.

    Raises:
        RunNotFound: no such run, or a run without an ensemble.
        InputError: a group of runs.
    """
    for root in possible_roots(name, storage):
        if EnsembleDir(root).exists():
            return EnsembleDir(root)
    ensemble = open_run(name, storage).store.ensemble
    if not ensemble.exists():
        raise RunNotFound(no_ensemble(name))
    return ensemble


def find_ensembles(name: str, storage: Path | str) -> dict[str | None, EnsembleDir]:
    """Return the ensemble of a folder or a run under None, or those of a group by target.

    Only the folders are read: a copy of an ensemble is found without the run that it was made from.

    Raises:
        RunNotFound: no such run, group or ensemble, or a run without an ensemble.
    """
    roots = possible_roots(name, storage)
    for root in roots:
        for directory in (EnsembleDir(root / "ensemble"), EnsembleDir(root)):
            if directory.exists():
                return {None: directory}
    group = find_group(name, storage)
    if group is not None:
        return {target: EnsembleDir.open(run.store.ensemble.root) for target, run in group.open_all().items()}
    if any(is_run(root) for root in roots):
        raise RunNotFound(no_ensemble(name))
    raise RunNotFound(no_run("run or ensemble", name, storage))


def read_ensemble(name: str, storage: Path | str) -> dict[str, Any]:
    """Return the content of ensemble.json of `find_ensemble`.

    Raises:
        RunNotFound: as `find_ensemble`.
        RunCorrupt: it cannot be read, or lacks its estimate.
    """
    directory = find_ensemble(name, storage)
    description = directory.read()
    if description is None or not isinstance(description.get("estimate"), dict):
        raise RunCorrupt(f"{directory.json_path} lacks the estimate; `foldtune ensemble` writes it again")
    return description
