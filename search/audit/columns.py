"""Columns of a table, and facts of its files, that predict the label by themselves, or distinguish train and test."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldtune.errors import BrokenImage
from foldtune.search.audit.association import class_shares, coded, explained
from foldtune.search.audit.pictures import Pictures
from foldtune.search.audit.rows import AuditRows
from foldtune.trainers.images.reading import picture_size
from foldtune.wording import shortened

LEAK = 0.5
"""Share of the label's uncertainty from which on a column counts as a leak."""
WORTH_A_LINE = 0.02
APART = 0.6
"""AUROC from which on train and test can be distinguished."""
_FOLDS = 5
_DIRECTIONS = 32
_SHOWN = 3
_READERS = 8

Column = npt.NDArray[np.generic]


def file_columns(rows: AuditRows, pictures: Pictures) -> dict[str, Column]:
    """Return facts of the N files by name: width, height, bytes a pixel and suffix."""
    with ThreadPoolExecutor(_READERS) as readers:
        sizes = np.array(list(readers.map(_size, rows.paths)), dtype=np.float64).reshape(-1, 2)
    pixels = np.maximum(sizes.prod(axis=1), 1.0)
    return {
        "file's height": sizes[:, 0],
        "file's width": sizes[:, 1],
        "file's bytes a pixel": np.round(pictures.sizes / pixels, 6),
        "file's suffix": np.array([path.suffix.lower() for path in rows.paths], dtype=object),
    }


def colour_columns(pictures: Pictures) -> dict[str, Column]:
    """Return mean and spread of each colour by name."""
    names = [f"{colour} ({what})" for what in ("mean", "spread") for colour in ("red", "green", "blue")]
    return {name: np.round(pictures.colours[:, place], 3) for place, name in enumerate(names)}


def _size(path: Path) -> tuple[int, int]:
    try:
        return picture_size(path)
    except BrokenImage:
        return 0, 0


def leak_notes(rows: AuditRows, columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Return a line on the columns that predict the label, the best first, and one for each that nearly is the label.

    Judged in the rows' own folds, so that neither groups nor names that occur once predict anything.
    """
    if rows.task.has_spatial_targets:
        return ()
    train = rows.train
    classes = _classes(rows)
    codes = {name: coded(values[train]) for name, values in columns.items()}
    found = {name: explained(each, classes, rows.folds[train]) for name, each in codes.items()}
    ranked = sorted((name for name in found if found[name] >= WORTH_A_LINE), key=lambda name: -found[name])
    leaks = [
        f"column {shortened(repr(name))} nearly is the label: by itself it removes {found[name]:.0%} of its uncertainty"
        for name in ranked
        if found[name] >= LEAK
    ]
    if not ranked:
        return ()
    shown = ", ".join(f"{shortened(name)} {found[name]:.0%}" for name in ranked[:_SHOWN])
    return (*leaks, f"what single columns remove of the label's uncertainty, cross-fitted: {shown}")


def _classes(rows: AuditRows) -> npt.NDArray[np.int64]:
    labels = np.unique([str(label) for label in rows.labels[rows.train]], return_inverse=True)[1]
    return np.asarray(labels, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Shift:
    """How well train and test can be distinguished.

    Attributes:
        auroc: cross-fitted, by all columns together; .5 where they cannot.
        columns: cross-fitted AUROC of each column by itself.
        scores: (N,) cross-fitted probability of being a row to submit.
    """

    auroc: float
    columns: Mapping[str, float]
    scores: npt.NDArray[np.float64]


def measure_shift(rows: AuditRows, columns: Mapping[str, Column], seed: int = 0) -> Shift | None:
    """Return how well gradient boosting on columns distinguishes train and test, None where there are few of either.

    Rows of a group share a fold, so that several images of one lesion, all for training, are no sign of the set.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # heavy
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    is_test = rows.is_test.astype(np.int64)
    if min(is_test.sum(), len(is_test) - is_test.sum()) < 2 * _FOLDS or not columns:
        return None
    groups = _groups(rows)
    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    folds = np.zeros(len(rows), dtype=np.int64)
    for fold, (_, inside) in enumerate(splitter.split(is_test, is_test, groups)):
        folds[inside] = fold
    codes = {name: coded(values) for name, values in columns.items()}
    features = np.stack([_feature(values, codes[name]) for name, values in columns.items()], axis=1)
    scores = np.zeros(len(rows))
    for fold in range(_FOLDS):
        outside = folds != fold
        model = HistGradientBoostingClassifier(max_iter=60, random_state=seed)
        scores[~outside] = model.fit(features[outside], is_test[outside]).predict_proba(features[~outside])[:, 1]
    single = {
        name: float(roc_auc_score(is_test, class_shares(each, is_test, folds)[:, 1])) for name, each in codes.items()
    }
    return Shift(float(roc_auc_score(is_test, scores)), single, scores)


def shift_notes(rows: AuditRows, shift: Shift) -> tuple[str, ...]:
    """Return the line on train and test; where they can be distinguished, with what differs most."""
    figure = f"AUROC {shift.auroc:.3f}, cross-fitted"
    if shift.auroc < APART:
        return (f"train and test cannot be distinguished by files, colours and columns ({figure})",)
    ranked = sorted(shift.columns, key=lambda name: -shift.columns[name])[:_SHOWN]
    signs = ", ".join(f"{shortened(name)} {shift.columns[name]:.2f}" for name in ranked)
    most = rows.test[np.argsort(-shift.scores[rows.test], kind="stable")[:_SHOWN]]
    names = ", ".join(shortened(str(rows.ids[row])) for row in most)
    return (f"train and test can be distinguished ({figure}): by {signs}; unlike any training image: {names}",)


def seen_shift_notes(
    rows: AuditRows, places: npt.NDArray[np.int64], embeddings: npt.NDArray[np.float32]
) -> tuple[str, ...]:
    """Return a line on how well embeddings distinguish the rows of fold 0 and those to submit, none of few of either.

    A model has other embeddings of the images that it was trained on, so of the labelled rows only those count that
    this one has not seen.

    Args:
        places: (M,) rows of the embeddings.
        embeddings: (M, D) of the model that was not trained on fold 0.
    """
    from sklearn.decomposition import PCA  # heavy
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    held = rows.is_test[places] | (rows.folds[places] == 0)
    is_test = rows.is_test[places[held]].astype(np.int64)
    if min(is_test.sum(), len(is_test) - is_test.sum()) < 2 * _FOLDS:
        return ()
    seen = embeddings[held]
    directions = min(_DIRECTIONS, seen.shape[1], len(seen) // 2)
    model = make_pipeline(PCA(directions, random_state=0), StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    scores = cross_val_predict(
        model, seen, is_test, groups=_groups(rows)[places[held]], cv=folds, method="predict_proba"
    )[:, 1]
    auroc = float(roc_auc_score(is_test, scores))
    apart = "can" if auroc >= APART else "cannot"
    most = places[held][np.argsort(-scores * is_test, kind="stable")[:_SHOWN]]
    names = f"; most unlike: {', '.join(shortened(str(rows.ids[row])) for row in most)}" if auroc >= APART else ""
    return (f"train and test {apart} be distinguished by the embeddings of fold 0's model (AUROC {auroc:.3f}){names}",)


def _groups(rows: AuditRows) -> npt.NDArray[np.int64]:
    if rows.groups is None:
        return np.arange(len(rows))
    keys = [
        str(group) if not test else f"\0{row}"
        for row, (group, test) in enumerate(zip(rows.groups, rows.is_test, strict=True))
    ]
    return np.asarray(np.unique(keys, return_inverse=True)[1], dtype=np.int64)


def _feature(values: Column, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return numbers as they are, and codes of anything else."""
    return values.astype(np.float64) if values.dtype.kind in "fiu" else codes.astype(np.float64)
