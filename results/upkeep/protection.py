"""Why a run must stay: others vote with its trials, or its ensemble is in use."""

from __future__ import annotations

from pathlib import Path

from foldtune.errors import RunCorrupt, RunNewer, RunProtected
from foldtune.results.runs.model_dir import PROMOTED, ModelDir
from foldtune.results.runs.names import run_names
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import names_in, read_json
from foldtune.results.storage.paths import StorePath, as_path

_GROUP = "group.json"


def require_unprotected(store: RunStore, storage: StorePath | str) -> None:
    """Check that a run may be archived or removed. Raises RunProtected, StorageError."""
    reasons = [*_votes_elsewhere(store, as_path(storage)), *_models(store)]
    if reasons:
        raise RunProtected(f"run {store.name!r} stays: {'; '.join(reasons)}")


def _votes_elsewhere(store: RunStore, storage: StorePath) -> list[str]:
    reasons = []
    for name in run_names(storage):
        if name == store.name:
            continue
        try:
            description = RunStore(storage / name).ensemble.read() or {}
        except (RunCorrupt, RunNewer):
            reasons.append(f"whose trials vote in the ensemble of run {name!r} cannot be read")
            continue
        if store.name in description.get("runs", []):
            reasons.append(f"its trials vote in the ensemble of run {name!r}")
    for name in names_in(storage) or []:
        group = read_json(storage / name / _GROUP) if not name.startswith(".") else None
        runs = (group or {}).get("runs")
        if isinstance(runs, dict) and store.name in runs.values():
            reasons.append(f"it belongs to the targets of {name!r}")
    return reasons


def _models(store: RunStore) -> list[str]:
    """Reasons of models that were made of the run's ensemble, and that are in use still."""
    stored = read_json(store.ensemble.root / PROMOTED) or {}
    models = stored.get("models")
    reasons = []
    for place in models if isinstance(models, list) else ():
        model = ModelDir(Path(str(place)))
        if model.exists() and _is_from(model, store):
            reasons.append(f"its ensemble is the model in use in {model.root}")
    return reasons


def _is_from(model: ModelDir, store: RunStore) -> bool:
    try:
        return str(model.promotion().get("from")) == str(store.ensemble.root.resolve())
    except RunCorrupt:
        return True  # what cannot be read protects
