"""Pairs of images that a run's own models take for nearly the same, beyond what hashes of pixels find."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from foldtune.errors import InputError, WorkError
from foldtune.files import scratch_folder
from foldtune.results.storage.files import read_locally
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.held_out import best_trial
from foldtune.search.audit.columns import seen_shift_notes
from foldtune.search.audit.duplicates import in_order
from foldtune.search.audit.findings import ALIKE, ONE_GROUP, Finding, scope_of
from foldtune.search.audit.rows import AuditRows
from foldtune.search.data.dataset import ImagePlan, image_plan
from foldtune.search.predict.members import member_id
from foldtune.search.runs.run import Run
from foldtune.trainers.images.cache import ImageSource
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
_NEIGHBOURS = 10
_SHRINKAGE = 0.1  # of the mean variance, added to that of each direction: in some there is nothing but noise


def find_alike(
    run: Run,
    rows: AuditRows,
    plain: npt.NDArray[np.bool_],
    known: list[Finding],
    decoders: int,
    progress: Progress | None,
) -> tuple[list[Finding], tuple[str, ...]]:
    """Return the pairs of greatest similarity, of one in twenty images, and lines on train and test as the models see
    them, and on what could not be compared.

    Pairs of one group are expected and left out.

    Args:
        plain: (N,) images that can be read and have more than one colour.
        known: pairs that were found already.
    """
    if run.task.has_spatial_targets:
        return [], ()
    if len(rows) > MAX_ROWS:
        return [], (f"pairs are not compared by the run's models: more than {MAX_ROWS:,} images",)
    try:
        decoded, parts = run_embeddings(run, rows, decoders, progress)
    except (InputError, WorkError) as error:
        return [], (f"pairs are not compared by the run's models: {error}",)
    use = plain[decoded]
    if not parts or use.sum() < 2:
        return [], ()
    places = decoded[use]
    found = {(each.row, each.other) for each in known}
    count = min(max(20, len(rows) // 20), 1000)
    first, second, similarity = nearest_pairs(np.concatenate(parts, axis=1)[use], 4 * count)
    pairs = [
        Finding(ALIKE, int(places[one]), int(places[other]), float(value))
        for one, other, value in zip(first, second, similarity, strict=True)
        if (int(places[one]), int(places[other])) not in found
    ]
    alike = in_order(rows, [each for each in pairs if scope_of(rows, each) != ONE_GROUP][:count])
    return alike, seen_shift_notes(rows, places, parts[0][use])


def nearest_pairs(
    embeddings: Embeddings, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return rows, rows after them, and similarities of the `count` nearest pairs of embeddings (N, D), best first.

    The similarity is the cosine of whitened embeddings, less the mean of what each of the two has with its own nearest:
    among images all of which are alike, more is needed (CSLS: Conneau et al., "Word Translation Without Parallel Data",
    2018).
    """
    unit = _whitened(embeddings)
    usual = _usual(unit)
    least = -np.inf
    first, second = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    values = np.zeros(0, dtype=np.float32)
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit[start:].T
        cosines -= (usual[start : start + _BLOCK, None] + usual[None, start:]) / 2
        cosines[np.tril_indices(len(cosines), 0, cosines.shape[1])] = -4.0
        if least == -np.inf and cosines.size > count:
            least = float(np.partition(cosines, cosines.size - count, axis=None)[-count]) - 1e-6
        i, j = np.nonzero(cosines > max(least, -3.0))
        first, second = np.concatenate([first, i + start]), np.concatenate([second, j + start])
        values = np.concatenate([values, cosines[i, j]])
        order = np.argsort(-values, kind="stable")[:count]
        first, second, values = first[order], second[order], values[order]
        least = float(values[-1]) if len(values) == count else least
    return first, second, values


def run_embeddings(
    run: Run, rows: AuditRows, decoders: int, progress: Progress | None
) -> tuple[npt.NDArray[np.int64], list[Embeddings]]:
    """Return the rows that can be decoded, and their embeddings by one member of the ensemble or the best trial.

    There are those of up to three fold models, that of fold 0 first. Labelled rows and those to submit are decoded
    apart, as by a search, so that its caches serve.
    """
    settings, weights, preprocessing = _models(run)
    with ExitStack() as stack:
        cache = run.config.data.cache_dir or stack.enter_context(scratch_folder("audit"))
        plan = ImagePlan(preprocessing, cache, decoders, "report")
        places: list[npt.NDArray[np.int64]] = []
        sources: list[ImageSource] = []
        for part in (rows.train, rows.test):
            if len(part):
                prepared = plan.open([rows.paths[row] for row in part], progress)
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
    return np.concatenate(places), parts


def _unit(embeddings: Embeddings) -> Embeddings:
    """Return embeddings less their mean, each of length 1; those of a network all point to one side."""
    centred = embeddings - embeddings.mean(axis=0)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _whitened(embeddings: Embeddings) -> Embeddings:
    """Return embeddings with about one variance in all directions, each of length 1.

    A network's embeddings differ most by the class, which many images share; what few share weighs as much then (Jégou,
    Chum, "Negative evidences and co-occurrences in image retrieval", 2012).
    """
    centred = embeddings - embeddings.mean(axis=0)
    variances, directions = np.linalg.eigh((centred.T @ centred / len(centred)).astype(np.float64))
    scales = np.maximum(variances, 0) + _SHRINKAGE * max(float(variances.mean()), 1e-12)
    return _unit(centred @ (directions / np.sqrt(scales)).astype(np.float32))


def _usual(unit: Embeddings) -> Embeddings:
    """Return the mean cosine (N,) of each embedding with the nearest others."""
    number = min(_NEIGHBOURS, len(unit) - 1)
    usual = np.zeros(len(unit), dtype=np.float32)
    for start in range(0, len(unit) if number else 0, _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        np.fill_diagonal(cosines[:, start:], -2.0)
        usual[start : start + _BLOCK] = np.partition(cosines, -number, axis=1)[:, -number:].mean(axis=1)
    return usual


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
