"""Figures of a stored ensemble on rows whose labels were held back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError
from foldtune.ids import match_ids
from foldtune.search.data.label_forms import label_reading, target_form
from foldtune.search.data.rows import read_rows
from foldtune.search.predict.members import member_id
from foldtune.search.runs.postprocessing import own_postprocess
from foldtune.search.runs.run import Run
from foldtune.search.voting.combiner import EnsembleCombiner
from foldtune.trainers.arrays.lazy import as_lazy
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.crossfit import is_threshold_only
from foldtune.wording import unknown

_PLACE = "\0place"


def score_ensemble(
    run: Run, labels: Path, on_note: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, float]]:
    """Metrics of the ensemble and of the best single trial on the test rows.

    Args:
        labels: a table with the id and target columns; it must hold every test row. Rows that the run's `on_missing`
            and `target_map` leave out are not judged.
        on_note: callback with the line on a single trial whose post-processing could not be fitted as the ensemble's.

    Returns:
        {"ensemble": {metric: value}, "best single trial (ID)": {…}}: the member that does best alone, as the ensemble's
        own table names it, by its first fold's model, and by post-processing fitted to all its out-of-fold scores.

    Raises:
        InputError: no ensemble with test scores yet, or labels that do not fit.
    """
    stored, description = run.store.ensemble.read_test(), run.store.ensemble.read()
    if stored is None or description is None:
        raise InputError(f"run {run.store.name!r} has no ensemble with test scores: foldtune ensemble makes one")
    targets, rows = _targets(run, labels, stored["ids"])
    # Ensembles of before hold the test scores of the trial that the search ranked first.
    first = description.get("ranked_first") or description["members"][0]["trial_id"]
    single = str(description.get("test_single") or first)
    names = {"ensemble": "", f"best single trial ({single})": "single_"}
    stored = _predicted(run, stored, description, single)
    if description.get("fixed_postprocess") is None:
        fitted = fitted_single(run.task, description, run.store.ensemble.read_oof(), single, stored["single_scores"])
        if fitted is None:
            on_note(
                f"trial {single} is decided by its configuration's post-processing, not by a fitted one as the "
                "ensemble is: no out-of-fold scores of it are stored to fit one to"
            )
        else:
            stored = {**stored, "single_predictions": fitted}
    return {
        name: run.task.evaluate(as_lazy(stored[f"{of}scores"])[rows], stored[f"{of}predictions"][rows], targets)
        for name, of in names.items()
    }


def fitted_single(
    task: Task, description: Mapping[str, Any], oof: Mapping[str, Any] | None, single: str, scores: Any
) -> Any:
    """Predictions (T, ...) of a member's model of fold 0, post-processing fitted to the member's out-of-fold scores.

    Args:
        description, oof: content of ensemble.json and oof.npz.
        single: id of the member.
        scores: its scores (T, ...).

    Returns:
        None where its out-of-fold scores, or their targets, are not stored.
    """
    places = [place for place, member in enumerate(description["members"]) if member_id(member) == single]
    if oof is None or not places or not {"member_scores", "targets"} <= set(oof):
        return None
    own = as_lazy(oof["member_scores"][places[0]])
    postprocess = task.fit_postprocess(own, oof["targets"], str(description["metric"]))
    offsets = description["members"][places[0]].get("fold_offsets") or [0.0]
    return task.predict(_moved(task, as_lazy(scores), np.asarray(offsets[0])), postprocess)


def _moved(task: Task, scores: Any, offset: npt.NDArray[Any]) -> Any:
    """Scores (T, ...) whose logits have the offset by which out-of-fold scores of that fold were aligned."""
    if not offset.any() or offset.size != (1 if scores.ndim == 1 else scores.shape[1]):  # of classes judged coarser
        return scores
    with np.errstate(divide="ignore"):
        return task.scores((logit(scores) if is_threshold_only(task) else np.log(scores)) + offset)


def _predicted(run: Run, stored: dict[str, Any], description: Mapping[str, Any], single: str) -> dict[str, Any]:
    """Return the stored arrays with predictions; those that are objects are not stored and computed again."""
    if "predictions" in stored:
        return stored
    directory = run.store.trial(single)
    record, held_out = directory.record(), directory.read_scores()
    if record is None or held_out is None:
        raise InputError(f"trial {single} of run {run.store.name!r} has no stored scores")
    own = own_postprocess(run, record, held_out)
    return {
        **stored,
        "predictions": EnsembleCombiner.from_dict(description).apply(
            run.task, list(map(as_lazy, stored["member_scores"]))
        )[1],
        "single_predictions": run.task.predict(as_lazy(stored["single_scores"]), own),
    }


def _targets(run: Run, labels: Path, ids: Any) -> tuple[Any, npt.NDArray[np.int64]]:
    """Return the targets of the test rows that have a label, and the indices (T,) of those rows."""
    data = run.config.data
    try:
        rows = data if data.case is None else data.model_copy(update={"id": data.case})  # a row may be a case
        frame: pd.DataFrame = read_rows(rows, run.task, labels, "test").frame
    except DataError as error:
        raise InputError(error.problems) from None
    columns = list(map(str, frame.columns))
    wanted_columns = [data.judged_column] if data.target_columns is not None else [data.judged_column, data.target_name]
    absent = [unknown("column", name, columns) for name in wanted_columns if name not in columns]
    if problems := absent or target_form(data, run.task).missing(columns):
        raise InputError(f"{labels}: {problems[0]}")
    names = frame[data.judged_column].fillna("").astype(str).map(canonical_text)
    if data.case_column is not None:  # a case may have several rows
        frame = frame[~names.duplicated()]
        names = names[~names.duplicated()]
    wanted_ids = [canonical_text(name) for name in ids.tolist()]
    repeated = sorted(set(names[names.duplicated()]) & set(wanted_ids))
    if repeated:
        raise InputError(f"{labels}: {len(repeated)} test rows are there more than once (first: {repeated[0]})")
    by_id = frame.set_index(names)
    pairs = match_ids(wanted_ids, names)
    missing = [name for name in wanted_ids if name not in pairs]
    if missing:
        raise InputError(f"{labels}: {len(missing)} test rows have no label (first: {missing[0]})")
    try:
        wanted = (
            by_id.loc[[pairs[name] for name in wanted_ids]]
            .reset_index(drop=True)
            .assign(**{_PLACE: np.arange(len(ids))})
        )
        kept, _ = label_reading(data, run.task).apply(wanted, labels)
        return np.asarray(run.task.encode(kept, source=labels)), kept[_PLACE].to_numpy(dtype=np.int64)
    except DataError as error:
        raise InputError(error.problems) from None
