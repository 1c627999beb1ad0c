"""What every training of a run sees: rows, folds and decoded images."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import InputError
from foldtune.search.config.loading import load_config
from foldtune.search.data.dataset import Labelled, image_plan, open_once, read_labelled
from foldtune.search.data.given_splits import split


@pytest.fixture
def labelled(project: Any) -> Labelled:
    config = load_config(Path(project.config({"data.cache": str(project.folder / "cache")})))
    task, table = read_labelled(config.data, "multiclass")
    plan = image_plan(config.data, 1)
    plan.open(table.paths)
    return Labelled(task, table, split(task, table, 2, 0), plan)


def test_folds_part_the_rows(labelled: Labelled) -> None:
    source = open_once(labelled.table.paths, labelled.images)
    seen = []
    for number in range(2):
        fold = labelled.fold(number, source)
        assert not set(fold.train_rows) & set(fold.valid_rows)
        assert sorted([*fold.train_rows, *fold.valid_rows]) == list(range(len(labelled.table)))
        assert set(fold.targets[fold.valid_rows]) == set(range(3)), "stratified"
        seen += list(fold.valid_rows)
    assert sorted(seen) == list(range(len(labelled.table)))


def test_images_are_decoded_once_and_opened_once_a_process(labelled: Labelled) -> None:
    told: list[tuple[int, int]] = []
    labelled.images.open(labelled.table.paths, lambda done, total: told.append((done, total)))
    assert not told, "the cache is there"
    first = open_once(labelled.table.paths, labelled.images)
    assert open_once(labelled.table.paths, labelled.images) is first
    assert first.shape == (len(labelled.table), 16, 16, 3)


def test_what_a_worker_is_sent_names_images_and_does_not_hold_them(labelled: Labelled) -> None:
    sent = pickle.dumps(labelled)
    assert len(sent) < 16 * 1024
    arrived = pickle.loads(sent)
    rows = np.arange(len(arrived.table))
    there = open_once(arrived.table.paths, arrived.images).read(rows)
    assert np.array_equal(there, open_once(labelled.table.paths, labelled.images).read(rows))


def test_a_class_smaller_than_the_folds_is_named(labelled: Labelled) -> None:
    with pytest.raises(InputError, match=r"ensemble\.folds.*c0"):
        split(labelled.task, labelled.table, 9, 0)


@pytest.mark.parametrize("outside", ["absolute", "climbing"])
def test_images_outside_of_the_folder_that_the_user_gave_are_refused(project: Any, outside: str) -> None:
    rows = list(project.rows)
    name = rows[0][0]
    elsewhere = project.folder / "elsewhere" / name
    elsewhere.parent.mkdir()
    (project.folder / "images" / name).rename(elsewhere)
    rows[0] = (str(elsewhere) if outside == "absolute" else f"../elsewhere/{name}", rows[0][1])
    table = project.table(rows)
    given = load_config(Path(project.config({"data.train": table, "data.images": "images"})))
    with pytest.raises(InputError, match=rf"1 of {len(rows)} images lie outside of .*images \(.*{name}\)"):
        read_labelled(given.data, "multiclass")
    within = [(f"{project.folder}/images/../images/{rows[1][0]}", rows[1][1]), *rows[2:]]
    given = load_config(Path(project.config({"data.train": project.table(within), "data.images": "images"})))
    assert len(read_labelled(given.data, "multiclass")[1]) == len(within)


def test_without_a_folder_of_images_a_table_may_name_any_file(project: Any) -> None:
    rows = [(f"{project.folder}/images/{name}", label) for name, label in project.rows]
    config = load_config(Path(project.config({"data.train": project.table(rows), "data.images": "."})))
    assert len(read_labelled(config.data, "multiclass")[1]) == len(rows)
