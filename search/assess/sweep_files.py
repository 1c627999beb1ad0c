"""One submission a post-processing setting, for an outside leaderboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import InputError, RunCorrupt
from foldtune.results.exports.submission import write_submission
from foldtune.results.storage.files import read_npz, write_bytes_atomic, write_csv
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.sweep import Source, SweepResult
from foldtune.search.data.dataset import read_unlabelled
from foldtune.search.predict.box_files import box_form, submission_bytes
from foldtune.search.predict.tables import submission_frame, submission_image_sizes
from foldtune.search.runs.digests import same_test_rows
from foldtune.search.runs.postprocessing import reduction_of_trial
from foldtune.search.runs.run import Run
from foldtune.search.workers.unlabelled import completed
from foldtune.trainers.arrays.lazy import as_lazy
from foldtune.trainers.arrays.voting import mean_scores
from foldtune.trainers.data.table import Table
from foldtune.trainers.postprocess.case_scores import Cases

Array = npt.NDArray[Any]
_LONGEST = 150


def scores_to_submit(run: Run, source: Source, trial_id: str | None) -> tuple[npt.NDArray[np.str_], list[Array]]:
    """Return ids (T,) of the rows to submit and M scores (T, ...): of the ensemble, or a trial's fold models' mean.

    Raises:
        InputError: there are none, with the command that makes them.
    """
    if trial_id is None:
        stored = run.store.ensemble.read_test()
        if stored is None:
            raise InputError(
                f"the ensemble of run {run.store.name!r} has no test scores: the configuration names no data.test"
            )
        if not {"ids", "member_scores"} <= set(stored):
            raise RunCorrupt(f"{run.store.ensemble.test_path} lacks its scores; run foldtune ensemble again")
        if source.combiner is None:
            return stored["ids"], [as_lazy(stored["scores"])]
        return stored["ids"], list(map(as_lazy, stored["member_scores"]))
    return _trial_scores(run, source, trial_id)


def check_test_images(run: Run, trial_id: str | None) -> str | None:
    """Check that the images to submit are those that were predicted; return why that is not known, if it is not.

    Raises:
        InputError: they have changed.
    """
    paths = [run.store.ensemble.test_path] if trial_id is None else _test_paths(run, trial_id)
    predicted = {str(arrays["images"]) for path in paths if (arrays := read_npz(path)) and "images" in arrays} - {""}
    if not predicted:
        return "whether the images to submit have changed since they were predicted is not known"
    try:
        table = read_unlabelled(run.config.data, run.task)
        same = all(same_test_rows(run.store, table, digest, moved=run.moved) for digest in predicted)
    except InputError as error:
        return f"whether the images to submit have changed is not known: {error.problems[0]}; --data ROOT if they moved"
    if not same:
        raise InputError(
            f"images to submit have changed since they were predicted: foldtune ensemble {run.store.name} predicts "
            "them as they are now"
        )
    return None


def _trial_scores(run: Run, source: Source, trial_id: str) -> tuple[npt.NDArray[np.str_], list[Array]]:
    stored = [read_npz(path) for path in _test_paths(run, trial_id)]
    found = [arrays for arrays in stored if arrays is not None and {"ids", "logits"} <= set(arrays)]
    if not found:
        members = sorted({path.parent.parent.name for path in run.store.ensemble.root.glob("members/*/*/test.npz")})
        those = f" (trials with them: {', '.join(members)}; --ensemble takes their vote)" if members else ""
        raise InputError(
            f"trial {trial_id} has no test scores{those}: foldtune ensemble {run.store.name} makes them for the best "
            "trials, where the configuration names data.test"
        )
    ids = found[0]["ids"]
    same = [arrays["logits"] for arrays in found if np.array_equal(arrays["ids"], ids)]
    table, scores = read_unlabelled(run.config.data, run.task), [source.task.scores(logits) for logits in same]
    if table.cases is not None:
        ids, scores = _of_cases(run, table, ids, scores, trial_id)
    return _complete(run, table.judged_ids, ids, mean_scores(scores))


def _of_cases(
    run: Run, table: Table, ids: npt.NDArray[np.str_], scores: Sequence[Array], trial_id: str
) -> tuple[npt.NDArray[np.str_], list[Array]]:
    """Return the names of the cases to submit, and their scores of each fold model."""
    assert table.cases is not None
    case = dict(zip(table.ids.tolist(), table.cases.tolist(), strict=True))
    cases = Cases.of(np.array([case.get(name, name) for name in ids.tolist()], dtype=np.str_))
    held_out = run.store.trial(trial_id).read_scores()
    how = "mean" if held_out is None else reduction_of_trial(run, held_out, trial_id)
    return cases.names, [cases.reduce(each, how, exclusive=run.task.exclusive_classes) for each in scores]


def _test_paths(run: Run, trial_id: str) -> list[StorePath]:
    return [run.store.ensemble.member(trial_id, fold).test_path for fold in range(run.config.ensemble.folds)]


def _complete(
    run: Run, every: npt.NDArray[np.str_], ids: npt.NDArray[np.str_], scores: Array
) -> tuple[npt.NDArray[np.str_], list[Array]]:
    """Return every row to submit: an unreadable image has the mean of the others' scores, as in the ensemble."""
    if strange := sorted(set(ids.tolist()) - set(every.tolist())):
        raise InputError(
            f"{run.config.data.test}: no longer holds {len(strange)} rows that were predicted (first: {strange[0]}); "
            f"foldtune ensemble {run.store.name} predicts its rows as they are now"
        )
    return every, [completed(scores, ids, every)]


def write_submissions(
    run: Run,
    source: Source,
    swept: Sequence[SweepResult],
    test: tuple[npt.NDArray[np.str_], Sequence[Array]],
    folder: Path,
    progress: Callable[[int, int], None],
) -> list[Path]:
    """Write a submission for each setting, each whole, and `settings.csv`, which lists them with their metrics.

    Boxes stand in a file of the form in which they came, too, as in the folder of an ensemble.

    Raises:
        SubmissionError, DataError: ids or columns that are not those of the sample.
        StorageError: the folder cannot be written.
    """
    ids, member_scores = test
    paths = [folder / name for name in _names([str(each.setting) for each in swept])]
    data = run.config.data
    form, sizes = box_form(source.task, data), submission_image_sizes(source.task, data, ids)
    for done, (each, path) in enumerate(zip(swept, paths, strict=True), start=1):
        scores, predictions = source.answer(each.setting, member_scores)
        frame = submission_frame(source.task, data, ids, scores, predictions, metric=run.goal.metric)
        write_submission(frame, path, data.sample_submission, id_column=frame.columns[0], encoding=data.encoding)
        if form is not None and sizes is not None:
            boxes = submission_bytes(form, data, ids, predictions, sizes, list(frame.columns))
            write_bytes_atomic(path.with_suffix(form.suffix), boxes)
        progress(done, len(swept))
    rows = [{"file": path.name, **each.setting.values, **each.metrics} for each, path in zip(swept, paths, strict=True)]
    write_csv(folder / "settings.csv", pd.DataFrame(rows))
    return paths


def _names(settings: Sequence[str]) -> list[str]:
    """Return a file name for each setting: the setting, or its number where that is too long or not unique."""
    plain = [re.sub(r"[^\w.=+-]+", "_", setting) for setting in settings]
    taken = [name.casefold() for name in plain]
    return [
        f"submission_{name}.csv"
        if len(name) <= _LONGEST and taken.count(name.casefold()) == 1
        else f"submission_{place:04d}.csv"
        for place, name in enumerate(plain, start=1)
    ]
