"""Opening the ensemble, or those of several targets, that a user named, to predict with it."""

from __future__ import annotations

from pathlib import Path

from foldtune.errors import RunNotFound, not_found
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.names import is_run, no_ensemble, possible_roots, run_names
from foldtune.search.predict.stored_ensemble import StoredEnsemble


def open_ensembles(name: str, storage: Path | str) -> dict[str | None, StoredEnsemble]:
    """The ensemble of a folder, of a run (a name under `storage`, or a path), or of each target of a group.

    One alone stands under None.

    Raises:
        RunNotFound: nothing of that name, or a run without an ensemble.
        RunCorrupt: it cannot be read.
    """
    roots = possible_roots(name, storage)
    for root in roots:
        if EnsembleDir(root).exists() or EnsembleDir(root / "ensemble").exists():
            return {None: StoredEnsemble.open(root)}
    from foldtune.search.runs.group import find_group  # which knows Optuna, which predictions of one ensemble need not

    group = find_group(name, storage)
    if group is not None:
        return {target: StoredEnsemble.open(run.store.root) for target, run in group.open_all().items()}
    if any(is_run(root) for root in roots):
        raise RunNotFound(no_ensemble(name))
    raise RunNotFound(f"{not_found('run or ensemble', name, run_names(storage))} (in {storage})")
