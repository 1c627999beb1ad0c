"""Pairs of images that a run's own models take for nearly the same, beyond what hashes of pixels find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError, InputError, WorkError
from foldtune.files import scratch_folder
from foldtune.results.storage.files import read_locally
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.held_out import best_trial
from foldtune.search.audit.duplicates import in_order
from foldtune.search.audit.findings import ALIKE, ONE_GROUP, Finding, scope_of
from foldtune.search.audit.rows import AuditRows
from foldtune.search.predict.members import member_id
from foldtune.search.runs.dataset import image_plan
from foldtune.search.runs.run import Run
from foldtune.trainers.images.cache import ImageSource, Prepared, prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.inference.trained import trained_embeddings
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

Progress = Callable[[int, int], None]
Embeddings = npt.NDArray[np.float32]

MAX_ROWS = 50_000
"""Images up to which all pairs are compared."""
_MODELS = 3
_BLOCK = 1024


def find_alike(
    run: Run,
    rows: AuditRows,
    plain: npt.NDArray[np.bool_],
    known: list[Finding],
    decoders: int,
    progress: Progress | None,
) -> tuple[list[Finding], tuple[str, ...]]:
    """Return the pairs of greatest similarity, of one in twenty images, and lines on what could not be compared.

    Pairs of one group are expected and left out.

    Args:
        plain: (N,) images that can be read and have more than one colour.
        known: pairs that were found already.
        decoders: number of decoding processes.
        progress: called with (done, total) images.
    """
    if run.task.has_spatial_targets:
        return [], ()
    if len(rows) > MAX_ROWS:
        return [], (f"pairs are not compared by the run's models: more than {MAX_ROWS:,} images",)
    try:
        decoded, embeddings = _embeddings(run, rows, decoders, progress)
    except (InputError, WorkError) as error:
        return [], (f"pairs are not compared by the run's models: {error}",)
    if embeddings is None:
        return [], ()
    places, embeddings = decoded[plain[decoded]], embeddings[plain[decoded]]
    found = {(each.row, each.other) for each in known}
    count = min(max(20, len(rows) // 20), 1000)
    first, second, similarity = nearest_pairs(embeddings, 4 * count)
    pairs = [
        Finding(ALIKE, int(places[one]), int(places[other]), float(value))
        for one, other, value in zip(first, second, similarity, strict=True)
        if (int(places[one]), int(places[other])) not in found
    ]
    return in_order(rows, [each for each in pairs if scope_of(rows, each) != ONE_GROUP][:count]), ()


def nearest_pairs(
    embeddings: Embeddings, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return rows, rows after them, and cosines of the `count` most similar pairs of embeddings (N, D), best first."""
    unit = _unit(embeddings)
    least = -np.inf
    first, second = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    values = np.zeros(0, dtype=np.float32)
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit[start:].T
        cosines[np.tril_indices(len(cosines), 0, cosines.shape[1])] = -2.0
        if least == -np.inf and cosines.size > count:
            least = float(np.partition(cosines, cosines.size - count, axis=None)[-count]) - 1e-6
        i, j = np.nonzero(cosines > max(least, -1.5))
        first, second = np.concatenate([first, i + start]), np.concatenate([second, j + start])
        values = np.concatenate([values, cosines[i, j]])
        order = np.argsort(-values, kind="stable")[:count]
        first, second, values = first[order], second[order], values[order]
        least = float(values[-1]) if len(values) == count else least
    return first, second, values


def _embeddings(
    run: Run, rows: AuditRows, decoders: int, progress: Progress | None
) -> tuple[npt.NDArray[np.int64], Embeddings | None]:
    """Return the rows that can be decoded, and their embeddings by one member of the ensemble or the best trial.

    Those of several fold models stand side by side. Labelled rows and those to submit are decoded apart, as by a
    search, so that its caches serve.
    """
    settings, weights, preprocessing = _models(run)
    with ExitStack() as stack:
        cache = run.config.data.cache_dir or stack.enter_context(scratch_folder("audit"))
        places: list[npt.NDArray[np.int64]] = []
        sources: list[ImageSource] = []
        for part in (rows.train, rows.test):
            if len(part):
                prepared = _prepared([rows.paths[row] for row in part], preprocessing, cache, decoders, progress)
                places.append(part[prepared.keep])
                sources += [prepared.source] if prepared.keep.any() else []
        parts = []
        for path in weights[:_MODELS]:
            with read_locally(path) as local:
                if local is None:
                    continue
                found = [trained_embeddings(run.task, settings, local, each, progress) for each in sources]
            own = [each for each in found if each is not None]
            if sources and len(own) == len(sources):
                parts.append(_unit(np.concatenate(own)))
    return np.concatenate(places), np.concatenate(parts, axis=1) if parts else None


def _prepared(
    paths: Sequence[Path], preprocessing: ImagePreprocessing, cache: Path, decoders: int, progress: Progress | None
) -> Prepared:
    try:
        return prepare_images(
            paths, preprocessing, cache_dir=cache, workers=decoders, progress=progress, on_broken="report"
        )
    except DataError as error:
        raise InputError(error.problems) from None


def _unit(embeddings: Embeddings) -> Embeddings:
    """Return embeddings less their mean, each of length 1; those of a network all point to one side."""
    centred = embeddings - embeddings.mean(axis=0)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _models(run: Run) -> tuple[TrialSettings, list[StorePath], ImagePreprocessing]:
    ensemble = run.store.ensemble
    description = ensemble.read() if ensemble.exists() else None
    if description is not None:
        member = description["members"][0]
        weights = [ensemble.weights_path(member_id(member), fold) for fold in range(int(description["folds"]))]
        return (
            parse_settings(member["config"], run.task),
            weights,
            ImagePreprocessing.from_dict({**description, **member}),
        )
    record = best_trial(run)
    plan = image_plan(run.config.data, 1)
    return parse_settings(record.config, run.task), [run.store.trial(record.trial_id).weights_path], plan.preprocessing
