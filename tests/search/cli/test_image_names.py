"""Ids without extension, test images in a folder of their own, two files of a stem: through the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stems(project: Any) -> Any:
    """Project whose tables name images without extension; the last two images are to be submitted, elsewhere."""
    stems = [(name.removesuffix(".png"), label) for name, label in project.rows]
    project.table(stems[:-2], "train.csv")
    project.table(stems[-2:], "test.csv")
    (project.folder / "test").mkdir()
    for name, _ in project.rows[-2:]:
        (project.folder / "images" / name).rename(project.folder / "test" / name.replace(".png", ".PNG"))
    return project


def test_ids_are_found_in_both_folders_and_the_sample_may_have_extensions(stems: Any, foldtune: Command) -> None:
    stems.table([(name, "c0") for name, _ in stems.rows[-2:]], "sample.csv")
    changes = {"data.test": "test.csv", "data.test_images": "test", "data.sample_submission": "sample.csv"}
    code, out, err = foldtune("validate", stems.config(changes))
    assert code == 0, err
    first = stems.rows[0][0]
    shown = " ".join((out + err).split())
    assert f"train.csv: 22 of 22 images are found without their extension (first: {first})" in shown
    assert "test.csv: 2 of 2 images are found without their extension (first: " in shown
    last = stems.rows[-2][0]
    assert f"2 ids of the sample submission written in another way than in data.test (first: '{last}' for" in shown


def test_test_images_elsewhere_are_pointed_at(stems: Any, foldtune: Command) -> None:
    code, _, err = foldtune("validate", stems.config({"data.test": "test.csv"}))
    assert (code, "2 of 2 images do not exist" in err) == (2, True)
    code, _, err = foldtune("validate", stems.config({"data.test": "test.csv", "data.test_images": "tests"}))
    assert (code, "tests does not exist; did you mean 'test'?" in err) == (2, True)


def test_two_files_of_a_stem_are_refused_and_both_are_named(stems: Any, foldtune: Command) -> None:
    name = stems.rows[0][0]
    (stems.folder / "images" / name.replace(".png", ".jpg")).write_bytes(b"")
    code, _, err = foldtune("validate", stems.config())
    assert code == 2
    assert "1 names stand for several files" in err
    jpg, png = (str(stems.folder / "images" / name.replace(".png", suffix)) for suffix in (".jpg", ".png"))
    assert f"'{name.removesuffix('.png')}' is {jpg} and {png}" in " ".join(err.split())


def test_one_file_under_two_ids_is_one_row_or_refused(project: Any, foldtune: Command) -> None:
    first, label = project.rows[0]
    table = project.table([*project.rows, (first.removesuffix(".png"), label)])
    code, out, err = foldtune("validate", project.config({"data.train": table}))
    assert (code, "24 rows" in out) == (0, True), err
    table = project.table([*project.rows, (first.removesuffix(".png"), "c2")])
    code, _, err = foldtune("validate", project.config({"data.train": table}))
    assert (code, "are one file with different labels (data rows 1 and 25)" in " ".join(err.split())) == (2, True)
