"""The report of a run: its models side by side, the figures of each class, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import InputError, RunCorrupt
from foldtune.results.records.ranking import finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.results.storage.files import write_csv, write_json
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.held_out import held_out_predictions
from foldtune.search.assess.stored_estimate import check_estimate, check_lengths
from foldtune.search.runs.run import Run
from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

INFERENCE = "inference_ms"


@dataclass(frozen=True)
class Report:
    """Content of `foldtune report`.

    Attributes:
        models: one row per model among the finished trials, the best first.
        estimate: cross-fitted metrics of the ensemble; None, like the next two, without one.
        per_class: rows {label, precision, recall, f1, support} on the same predictions.
        confusion: rows by true label, a column each predicted one; None where an image has not one label.
    """

    models: pd.DataFrame
    estimate: Mapping[str, Any] | None = None
    per_class: Sequence[Mapping[str, Any]] | None = None
    confusion: pd.DataFrame | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        models = self.models.astype(object).where(self.models.notna(), None)
        table = None
        if self.confusion is not None:
            _, *names = self.confusion.columns
            rows = self.confusion.itertuples(index=False, name=None)
            table = {true: dict(zip(names, counts, strict=True)) for true, *counts in rows}
        return {
            "models": models.to_dict(orient="records"),
            "estimate": self.estimate,
            "per_class": self.per_class,
            "confusion": table,
        }

    def write(self, folder: Path) -> list[Path]:
        """Write models.csv, per_class.csv and .json, confusion.csv into the folder; give what was written.

        Files of an earlier report that this one does not have are removed. Raises StorageError.
        """
        tables = {"models.csv": self.models, "confusion.csv": self.confusion}
        if self.per_class is not None:
            tables["per_class.csv"] = pd.DataFrame(self.per_class)
        written = [folder / name for name, table in tables.items() if table is not None]
        for path in written:
            table = tables[path.name]
            assert table is not None
            write_csv(path, table)
        if self.per_class is not None:
            written.append(folder / "per_class.json")
            write_json(written[-1], {"estimate": self.estimate, "per_class": self.per_class})
        for name in ("models.csv", "per_class.csv", "per_class.json", "confusion.csv"):
            if folder / name not in written:
                (folder / name).unlink(missing_ok=True)
        return sorted(written)


def make_report(run: Run, *, timing: bool = True, device: str | None = None) -> Report:
    """Gather the figures of a run; without an ensemble only those of its models.

    Raises:
        InputError: no trial has finished.
        RunCorrupt: the ensemble's files do not belong together.
    """
    models = model_table(run, timing=timing, device=device)
    description = run.store.ensemble.read()
    if description is None:
        return Report(models)
    return Report(models, description["estimate"], description["per_class"], confusion_table(run, description))


def model_table(run: Run, *, timing: bool = True, device: str | None = None) -> pd.DataFrame:
    """Return the best trial of each model, the best first.

    Columns: model_name, the metric, its tuned value, params_m, fit_time_s (of that trial), images_per_s (in its
    training), inference_ms (an image; see `trainers.inference.trained`), trials (finished ones of the model), trial_id,
    status (COMPLETE, or PRUNED where it was stopped early), pareto (whether no other model is at least as good by the
    metric and by inference_ms, without a timing params_m, and better by one).

    Raises:
        InputError: no trial has finished.
    """
    records = run.store.trials()
    ranked = [
        (parse_settings(record.config, run.task), record) for record in finalists(records, run.goal, len(records))
    ]
    if not ranked:
        raise InputError(f"run {run.store.name!r} has no finished trial to report: search first")
    best: dict[str, tuple[TrialSettings, TrialRecord]] = {}
    for settings, record in ranked:
        best.setdefault(settings.model_name, (settings, record))
    names = [settings.model_name for settings, _ in ranked]
    metric = run.goal.metric
    rows = [
        {
            "model_name": name,
            metric: record.value(metric),
            f"{metric}_tuned": record.value(f"{metric}_tuned"),
            "params_m": record.params_m,
            "fit_time_s": record.fit_time_s,
            "images_per_s": record.images_per_s,
            INFERENCE: _inference_ms(run, settings, device) if timing else None,
            "trials": names.count(name),
            "trial_id": record.trial_id,
            "status": record.status,
        }
        for name, (settings, record) in best.items()
    ]
    frame = pd.DataFrame(rows).sort_values(metric, ascending=run.goal.mode == "min", kind="stable", ignore_index=True)
    frame["pareto"] = _front(frame[metric], frame[INFERENCE if timing else "params_m"], run.goal.mode)
    return frame if timing else frame.drop(columns=INFERENCE)


def _front(values: pd.Series[Any], costs: pd.Series[Any], mode: Mode) -> list[bool]:
    """Return whether no other row has a value at least as good at a cost at most as high, and betters one of them."""
    sign = -1.0 if mode == "max" else 1.0
    points = np.array([sign * values, costs], dtype=np.float64).T
    return [not ((points <= point).all(1) & (points < point).any(1)).any() for point in points]


def _inference_ms(run: Run, settings: TrialSettings, device: str | None) -> float:
    from foldtune.trainers.inference.trained import inference_time_ms

    return inference_time_ms(run.task, settings, run.config.data.size, device=device)


def confusion_table(run: Run, description: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return rows of each true class (column `true`) by predicted class, of the ensemble's cross-fitted predictions.

    They are computed again from oof.npz exactly as the estimate was. None where images have no single label.

    Raises:
        RunCorrupt: rows that are gone, are none of the task's, or contradict the estimate.
    """
    stored = run.store.ensemble.read_oof()
    needed = {"targets", "folds", "member_scores"}
    if stored is None or not needed <= set(stored):
        raise RunCorrupt(
            f"{run.store.ensemble.oof_path} lacks {', '.join(sorted(needed))}; run foldtune ensemble again"
        )
    check_lengths(stored, run.store.ensemble)
    check_estimate(run.task, description, stored, run.store.ensemble)
    targets = run.task.as_predictions(stored["targets"])
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        return None
    names, path = run.task.label_names, run.store.ensemble.oof_path
    _check_classes(targets, len(names), path)
    predictions = held_out_predictions(run.task, description, stored)
    _check_classes(predictions, len(names), path)
    return _crossed(names, targets, predictions)


def _check_classes(classes: npt.NDArray[np.int64], number: int, path: StorePath) -> None:
    if classes.min() < 0 or classes.max() >= number:
        raise RunCorrupt(f"{path}: holds classes that the task, of {number}, has not")


def _crossed(names: Sequence[str], targets: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64]) -> pd.DataFrame:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(targets, predictions, labels=range(len(names)))
    frame = pd.DataFrame(counts, columns=list(names))
    frame.insert(0, "true", list(names), allow_duplicates=True)
    return frame
