"""Labels that held-out scores contradict, ranked. Confident learning, by cleanlab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import InputError
from foldtune.results.tables.formatting import counted
from foldtune.search.assess.held_out import HeldOut, best_trial, of_ensemble, of_trial
from foldtune.search.audit.findings import DOUBTFUL, Finding
from foldtune.search.audit.rows import AuditRows
from foldtune.search.runs.run import Run
from foldtune.trainers.tasks.judged import Judged

FLAGGED = "confident learning"
"""Detail of a label that cleanlab takes for an error, beside those that scores merely contradict."""
_MIN_ROWS = 10  # of a class or label, for a threshold of its own


@dataclass(frozen=True)
class Doubts:
    """Doubtful labels, the most doubtful first, and lines on what was judged."""

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def find_doubtful(run: Run, rows: AuditRows) -> Doubts:
    """Return the labels of a run's rows that scores of models which were not trained on them contradict.

    Scores are those of the ensemble, which has judged every row; without one, those of the best trial for its own
    validation rows.

    Raises:
        RunCorrupt: stored scores that are damaged, or do not belong together.
    """
    if run.task.has_spatial_targets:
        return Doubts()
    try:
        held_out = _held_out(run)
    except InputError as error:
        return Doubts(notes=(f"labels are not judged: {error}",))
    place = rows.judged
    known = np.array([name in place for name in held_out.ids.tolist()], dtype=np.bool_)
    places = np.array([place[name] for name in held_out.ids[known].tolist()], dtype=np.int64)
    scores, targets = np.asarray(held_out.scores)[known], np.asarray(held_out.targets)[known]
    if isinstance(run.task, Judged):
        targets = run.task.coarse(targets)
    notes = []
    if left := len(place) - len(places):
        more = "" if run.store.ensemble.exists() else f"; foldtune ensemble {run.store.name} judges all"
        what = counted(left, "labelled row" if rows.cases is None else "labelled case")
        notes.append(f"no held-out model has judged {what} of {len(place):,}{more}")
    if rows.cases is not None:
        notes.append("labels are judged by case; image names the first one of a case")
    judged = _several if scores.ndim == 2 and targets.ndim == 2 and not _is_soft(run, targets) else _one
    return Doubts(tuple(judged(run, places, scores, targets)), tuple(notes))


def _held_out(run: Run) -> HeldOut:
    if run.store.ensemble.exists():
        return of_ensemble(run.store.ensemble, run.store.name)
    return of_trial(run, best_trial(run).trial_id)


def _is_soft(run: Run, targets: npt.NDArray[Any]) -> bool:
    return run.task.name == "multiclass" and targets.ndim == 2


def _one(run: Run, places: npt.NDArray[np.int64], scores: npt.NDArray[Any], targets: npt.NDArray[Any]) -> list[Finding]:
    """One label a row; of several weights the likeliest."""
    probabilities = np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores
    labels = (targets.argmax(axis=1) if targets.ndim == 2 else targets).astype(np.int64)
    names = run.task.label_names if len(run.task.label_names) == probabilities.shape[1] else ()
    names = names or tuple(getattr(run.task, "labels", ()))
    ranked = _ranked(labels, probabilities)
    return [
        Finding(
            DOUBTFUL,
            int(places[row]),
            score=float(probabilities[row, labels[row]]),
            suggested=str(names[int(probabilities[row].argmax())]),
            detail=FLAGGED if flagged else "",
        )
        for row, _, flagged in ranked
    ]


def _several(
    run: Run, places: npt.NDArray[np.int64], scores: npt.NDArray[Any], targets: npt.NDArray[Any]
) -> list[Finding]:
    """Several labels a row, each judged by itself; cells that are neither 0 nor 1 are not judged."""
    found: list[tuple[float, Finding]] = []
    for column, name in enumerate(run.task.label_names):
        rows = np.flatnonzero((targets[:, column] == 0) | (targets[:, column] == 1))
        own = scores[rows, column]
        for row, margin, flagged in _ranked(targets[rows, column].astype(np.int64), np.stack([1 - own, own], axis=1)):
            given = bool(targets[rows[row], column])
            finding = Finding(
                DOUBTFUL,
                int(places[rows[row]]),
                score=float(own[row] if given else 1 - own[row]),
                suggested=f"{'without' if given else 'with'} {name}",
                detail=FLAGGED if flagged else "",
            )
            found.append((margin, finding))
    return [finding for _, finding in sorted(found, key=lambda pair: pair[0])]


def _ranked(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> list[tuple[int, float, bool]]:
    """Return (row, margin, whether flagged) of labels (N,) that probabilities (N, C) contradict, least margin first.

    The margin is the probability of the given label less the greatest of the others (Northcutt, Jiang, Chuang,
    "Confident Learning", 2021), below 0 where another label is likelier.
    """
    rows = np.arange(len(labels))
    others = probabilities.astype(np.float64).copy()
    others[rows, labels] = -np.inf
    margins = probabilities[rows, labels] - others.max(axis=1)
    flagged = _flagged(labels, probabilities)
    chosen = rows[(margins < 0) | flagged]
    chosen = chosen[np.argsort(margins[chosen], kind="stable")]
    return [(int(row), float(margins[row]), bool(flagged[row])) for row in chosen]


def _flagged(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether cleanlab takes each label for an error; never of classes with few rows."""
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    classes = np.flatnonzero(counts >= _MIN_ROWS)
    rows = np.flatnonzero(np.isin(labels, classes))
    flagged = np.zeros(len(labels), dtype=np.bool_)
    if len(classes) < 2:
        return flagged
    from cleanlab.filter import find_label_issues  # heavy, and for runs alone

    own = probabilities[rows][:, classes]
    own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-12)
    flagged[rows] = find_label_issues(np.searchsorted(classes, labels[rows]), own, n_jobs=1)
    return flagged
