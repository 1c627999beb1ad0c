"""Opening the ensemble, or those of several targets, that a user named, to predict with it."""

from __future__ import annotations

from pathlib import Path

from results.ensembledir import EnsembleDir
from results.errors import RunNotFound, no_ensemble, unknown
from results.names import candidates, is_run, run_names
from search.prediction import StoredEnsemble


def open_ensembles(name: str, storage: Path | str) -> dict[str | None, StoredEnsemble]:
    """The ensemble of a folder, of a run (a name under `storage`, or a path), or of each target of a group.

    One alone stands under None.

    Raises:
        results.errors.RunNotFound: nothing of that name, or a run without an ensemble.
        results.errors.RunCorrupt: it cannot be read.
    """
    places = candidates(name, storage)
    for root in places:
        if EnsembleDir(root).exists() or EnsembleDir(root / "ensemble").exists():
            return {None: StoredEnsemble.open(root)}
    from search.groups import find_group  # which knows Optuna, which predictions of one ensemble need not

    group = find_group(name, storage)
    if group is not None:
        return {target: StoredEnsemble.open(run.store.root) for target, run in group.open_all().items()}
    if any(is_run(root) for root in places):
        raise RunNotFound(no_ensemble(name))
    raise RunNotFound(f"{unknown('run or ensemble', name, run_names(storage))} (in {storage})")
