"""Predictions as tables: rows of a submission, and several targets in one table. No Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import BrokenImage
from foldtune.results.exports.submission import read_sample
from foldtune.search.checks.sample import form_of
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.dataset import read_unlabelled
from foldtune.trainers.images.reading import picture_size
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]
Sizes: TypeAlias = npt.NDArray[np.int64]


def submission_frame(
    task: Task, data: DataConfig, ids: npt.NDArray[np.str_], scores: Array, predictions: Array, *, metric: str
) -> pd.DataFrame:
    """Return the rows of a submission in the order of `ids` (T,), before they are arranged as the sample is.

    The columns are the sample's, or those of id and target where the configuration names no sample.

    Args:
        scores: scores (T, ...).
        predictions: predictions (T, ...).
        metric: what was optimised: by one of scores, a column of numbers in the sample takes scores.

    Raises:
        InputError: the table of the rows to submit cannot be read, where image sizes are needed.
        DataError: the sample has columns that the task cannot fill.
    """
    sample = None if data.sample_submission is None else read_sample(data.sample_submission, data.encoding)
    form = form_of(data, task, metric, sample)
    return form.fill(task, ids, predictions, scores=scores, image_sizes=submission_image_sizes(task, data, ids))


def finite_rows(task: Task, scores: Array) -> npt.NDArray[np.bool_]:
    """Return (N,) whether all scores (N, ...) of a row are finite; maps are, since they are kept in bytes."""
    if task.has_spatial_targets:
        return np.ones(len(scores), dtype=np.bool_)
    return np.asarray(np.isfinite(scores).reshape(len(scores), -1).all(axis=1))


def original_image_sizes(task: Task, paths: Sequence[Path]) -> Sizes | None:
    """Return (N, 2) heights and widths in pixels of image files as the user has them.

    (0, 0) stands for an unreadable image. None for a task whose predictions are not places in an image.
    """
    if not task.has_spatial_targets:
        return None
    return np.array([image_size(path) for path in paths], dtype=np.int64).reshape(-1, 2)


def submission_image_sizes(task: Task, data: DataConfig, ids: npt.NDArray[np.str_]) -> Sizes | None:
    """Return (T, 2) heights and widths of the images to submit, as `original_image_sizes`. Raises InputError."""
    if not task.has_spatial_targets:
        return None
    table = read_unlabelled(data, task)
    paths = dict(zip(table.ids.tolist(), table.paths, strict=True))
    return original_image_sizes(task, [paths.get(name, Path()) for name in ids.tolist()])


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width in pixels of an image file, (0, 0) of an unreadable one."""
    try:
        return picture_size(path)
    except BrokenImage:
        return (0, 0)


def combine_target_predictions(frames: Mapping[str | None, pd.DataFrame], id_column: str) -> pd.DataFrame:
    """Return one table of several targets: id, then for each TARGET its label and TARGET_score …, and `error`.

    Args:
        frames: tables of `StoredEnsemble.predict` by target, of the same images; one alone under None is returned
            unchanged.
    """
    if None in frames:
        return frames[None]
    first = next(iter(frames.values()))
    columns: dict[str, pd.Series] = {id_column: first[id_column]}
    errors = first["error"]
    for target, frame in frames.items():
        errors = errors.where(errors.notna(), frame["error"])
        for name in frame.columns.difference([id_column, "error"], sort=False):
            columns[str(target) if name == "label" else f"{target}_{name}"] = frame[name]
    return pd.DataFrame({**columns, "error": errors})


def combine_target_submissions(frames: Mapping[str | None, pd.DataFrame]) -> pd.DataFrame:
    """Return one submission of several targets, whose ids are the same in the same order; one alone is unchanged."""
    first, *others = frames.values()
    return pd.concat([first, *(frame.iloc[:, 1:] for frame in others)], axis=1)
