"""A run belongs to its data: what changed since its start is refused by name, what only moved is not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foldtune.errors import InputError, RunNewer
from foldtune.results.records.identity import read_identity
from foldtune.results.runs.digests_file import read_digests
from foldtune.results.storage.files import read_json, write_json
from foldtune.search.config.loading import load_config
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.digests import check_test_rows
from foldtune.search.runs.resuming import check_same
from foldtune.search.runs.run import Run, new_store, open_run, reopen_labelled, start_run, with_data, with_paths
from foldtune.search.runs.validation import check_run
from foldtune.trainers.data import contents


def start(project: Any, **changes: Any) -> tuple[Run, Labelled]:
    checked = check_run(load_config(Path(project.config(changes))))
    with new_store(checked.config) as store:
        return start_run(checked, store, 1, None)


def reopen(data: Path | None = None) -> Labelled:
    return reopen_labelled(open_run("tiny", "runs", data), 1, None)


def recolour(path: Path, *, keep_state: bool = False) -> None:
    """Another image of the same size in pixels; of the same bytes and time, too, where `keep_state`."""
    before = path.stat()
    pixels = np.asarray(Image.open(path)).copy()
    if keep_state:
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        Image.fromarray(255 - pixels).save(path)


def relabel(project: Any) -> None:
    project.table([(project.rows[0][0], "c1"), *project.rows[1:]], "train.csv")


def test_the_same_data_have_the_same_digest(project: Any) -> None:
    _, labelled = start(project)
    assert labelled.digest
    assert reopen().digest == labelled.digest
    assert reopen().notes == ()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (relabel, "labels of 1 rows"),
        (lambda project: recolour(project.folder / "images" / project.rows[0][0]), "images of 1 rows"),
    ],
)
def test_changed_data_are_refused_by_name(project: Any, change: Callable[[Any], None], named: str) -> None:
    start(project)
    change(project)
    with pytest.raises(InputError, match=named) as caught:
        reopen()
    assert project.rows[0][0] in str(caught.value)
    assert "--name" in str(caught.value)


def test_a_flipped_fold_is_found(project: Any) -> None:
    run, _ = start(project)
    text = run.store.folds_path.read_text()
    run.store.folds_path.write_text(text.replace(",0\n", ",1\n", 1))
    with pytest.raises(InputError, match="folds of 1 rows"):
        reopen()


def test_changed_groups_are_refused(project: Any) -> None:
    names = [row[0] for row in project.rows]
    table = project.folder / "train.csv"
    rows = [f"{name},{label},{place}" for place, (name, label) in enumerate(project.rows)]
    table.write_text("\n".join(["image,label,patient", *rows]) + "\n")
    start(project, **{"data.group": "patient"})
    table.write_text("\n".join(["image,label,patient", rows[0].rpartition(",")[0] + ",x", *rows[1:]]) + "\n")
    with pytest.raises(InputError, match=f"groups of 1 rows .first: {names[0]}"):
        reopen()


def test_a_touched_image_is_read_again_and_is_the_same(project: Any) -> None:
    run, labelled = start(project)
    before = read_digests(run.store)
    for name, _ in project.rows[:2]:
        os.utime(project.folder / "images" / name)
    assert reopen().digest == labelled.digest
    after = read_digests(run.store)
    assert before is not None
    assert after is not None
    assert (before["time_ns"] != after["time_ns"]).sum() == 2


@pytest.mark.parametrize("cache", ["cache", "off"])
def test_what_has_the_same_size_and_time_is_not_read(project: Any, monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    _, labelled = start(project, **{"data.cache": cache})
    monkeypatch.setattr(contents, "_digest", lambda path: pytest.fail(f"{path} is read"))
    assert reopen().digest == labelled.digest


def test_data_that_moved_are_the_same(project: Any) -> None:
    _, labelled = start(project)
    moved = project.folder / "disk"
    moved.mkdir()
    for name in ("images", "train.csv"):
        shutil.move(project.folder / name, moved / name)
    with pytest.raises(InputError, match="--data ROOT"):
        reopen()
    assert reopen(moved).digest == labelled.digest
    recolour(moved / "images" / project.rows[0][0], keep_state=True)
    shutil.rmtree(project.folder / "cache")
    with pytest.raises(InputError, match="images of 1 rows"):
        reopen(moved)


def test_a_configuration_whose_data_moved_resumes(project: Any) -> None:
    run, labelled = start(project)
    moved = project.folder / "disk"
    moved.mkdir()
    for name in ("images", "train.csv"):
        shutil.move(project.folder / name, moved / name)
    given = load_config(Path(project.config({"data.root": str(moved)})))
    check_same(given, run.config)
    assert reopen_labelled(with_paths(open_run("tiny", "runs"), given.data), 1, None).digest == labelled.digest


def test_data_that_never_lay_below_the_root_cannot_have_moved_with_it(project: Any, tmp_path: Path) -> None:
    run, _ = start(project)
    stray = run.config.data.model_copy(update={"root": tmp_path / "elsewhere"})
    strayed = run.config.model_copy(update={"data": stray})
    with pytest.raises(InputError, match="--data"):
        with_data(Run(run.store, strayed, run.task, run.goal), tmp_path)


def of_before(run: Run) -> None:
    """The run as a version without digests left it."""
    (run.store.root / "digests.csv").unlink()
    (run.store.root / "run.json").unlink()
    lines = run.store.config_path.read_text().splitlines(keepends=True)
    run.store.config_path.write_text("".join(line for line in lines if not line.startswith("# sum")))


def test_a_run_of_before_opens_with_one_warning_and_gets_its_digests(project: Any) -> None:
    run, labelled = start(project)
    of_before(run)
    first, second = reopen(), reopen()
    assert first.digest == second.digest == labelled.digest
    assert len(first.notes) == 1
    assert "no digests" in first.notes[0]
    assert second.notes == ()
    assert read_identity(run.store.root) is not None


def test_labels_of_a_run_of_before_are_compared_with_those_of_its_trials(project: Any) -> None:
    run, labelled = start(project)
    of_before(run)
    trial = run.store.trial("0000")
    trial.write_config(0, {}, {})
    rows = labelled.folds == 0
    assert labelled.table.targets is not None
    trial.write_scores(labelled.table.ids[rows], np.zeros((rows.sum(), 3)), labelled.table.targets[rows], 1)
    trial.finish("COMPLETE")
    changed = labelled.table.ids[rows][0]
    project.table([(name, "c1" if name == changed else label) for name, label in project.rows], "train.csv")
    with pytest.raises(InputError, match="labels of 1 rows of trial 0000"):
        reopen()
    assert read_digests(run.store) is None


def test_changed_images_to_submit_are_named_once(project: Any) -> None:
    project.table(project.rows[:3], "test.csv")
    run, labelled = start(project, **{"data.test": "test.csv"})
    table = replace(labelled.table.select(np.arange(3)), targets=None)
    digest, of_version_before, changed = check_test_rows(run.store, table, None)
    assert (of_version_before, changed) == (False, None)
    recolour(project.folder / "images" / project.rows[0][0])
    other, _, changed = check_test_rows(run.store, table, None)
    assert other != digest
    assert changed is not None
    assert "images of 1 rows" in changed
    assert check_test_rows(run.store, table, None) == (other, False, None)


def test_a_run_of_a_later_version_is_refused_in_words(project: Any) -> None:
    run, _ = start(project)
    path = run.store.root / "run.json"
    write_json(path, {**(read_json(path) or {}), "format": 99, "version": "9.0"})
    with pytest.raises(RunNewer, match=r"format 99, of foldtune 9\.0.*upgrade"):
        open_run("tiny", "runs")
