"""Every wrong table or image ends with exit code 2 and names the file, the rows and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foldtune.trainers.images.formats import dicom

Command = Callable[..., tuple[int, str, str]]


def test_valid_data_is_summarised(project: Any, foldtune: Command) -> None:
    code, out, err = foldtune("validate", project.config())
    assert (code, err) == (0, "")
    assert "tiny: multiclass, 24 rows" in out
    assert out.rstrip().endswith("valid")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data.train": "trian.csv"}, ["data.train: ", "trian.csv: no such file; did you mean 'train.csv'?"]),
        ({"data.root": "nowhere"}, ["data.train: ", "the folder", "nowhere does not exist"]),
        ({"data.test": "tst.csv"}, ["data.test: ", "tst.csv: no such file"]),
        ({"data.images": "image"}, ["24 of 24 images do not exist", "did you mean 'images'?"]),
        (
            {"data.target": "lable", "data.id": "img", "data.group": "patient"},
            ["data.target: unknown column", "'lable'; did you mean 'label'?", "data.id: ", "'image'", "data.group: "],
        ),
        ({"data.train": "images/d0000.png"}, ["cannot be read as a CSV"]),
        ({"ensemble.folds": 9}, ["ensemble.folds: 3 classes have fewer rows than the 9 folds: c0 (8), c1 (8), c2 (8)"]),
        (
            {"data.test": "train.csv", "data.sample_submission": "sample.csv"},
            ["data.sample_submission: no sample submission at"],
        ),
        ({"data.sample_submission": "train.csv"}, ["data.test: missing; data.sample_submission needs the rows"]),
    ],
)
def test_files_and_columns(project: Any, foldtune: Command, changes: dict[str, Any], parts: list[str]) -> None:
    code, out, err = foldtune("validate", project.config(changes))
    assert (code, out) == (2, "")
    assert [part for part in parts if part not in err] == [], err


def test_rows_without_a_label_are_counted(project: Any, foldtune: Command) -> None:
    table = project.table([*project.rows[:-2], (project.rows[-2][0], ""), (project.rows[-1][0], " ")])
    code, _, err = foldtune("validate", project.config({"data.train": table}))
    assert code == 2
    assert "column 'label' is empty in 2 of 24 rows (data rows 23, 24)" in err


def test_a_name_given_twice_and_a_missing_image_are_reported_together(project: Any, foldtune: Command) -> None:
    table = project.table([*project.rows, project.rows[0], ("zz.png", "c0")])
    code, _, err = foldtune("validate", project.config({"data.train": table}))
    assert code == 2
    assert f"column 'image' has 1 names more than once ({project.rows[0][0]})" in err
    assert "1 of 26 images do not exist" in err
    assert err.count("more than once") == 1


def test_a_class_with_one_image_is_named(project: Any, foldtune: Command) -> None:
    table = project.table([*project.rows[:-1], (project.rows[-1][0], "c3")])
    code, _, err = foldtune("validate", project.config({"data.train": table}))
    assert code == 2
    assert "1 class has fewer rows than the 2 folds: c3 (1); use fewer folds, merge classes" in err


def test_one_class_is_no_problem_to_learn(project: Any, foldtune: Command) -> None:
    table = project.table([(name, "c0") for name, _ in project.rows])
    code, _, err = foldtune("validate", project.config({"data.train": table}))
    assert code == 2
    assert "column 'label' has only the label 'c0'; multiclass needs at least two classes" in err


@pytest.mark.parametrize(("content", "part"), [("", "cannot be read as a CSV"), ("image,label\n", "holds no rows")])
def test_an_empty_table(project: Any, foldtune: Command, content: str, part: str) -> None:
    (project.folder / "none.csv").write_text(content)
    code, _, err = foldtune("validate", project.config({"data.train": "none.csv"}))
    assert code == 2
    assert part in err


def test_a_sample_submission_of_other_rows(project: Any, foldtune: Command) -> None:
    sample = project.table([*project.rows[1:], ("zz.png", "c0")], "sample.csv")
    changes = {"data.test": "train.csv", "data.sample_submission": sample}
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert "data.test: " in err
    assert "lacks 1 id that" in err
    assert "zz.png" in err


def test_broken_images_are_found_before_anything_is_started(project: Any, foldtune: Command) -> None:
    whole = (project.folder / "images" / project.rows[0][0]).read_bytes()
    (project.folder / "images/zero.png").write_bytes(b"")
    (project.folder / "images/torn.png").write_bytes(whole[:80])
    table = project.table([*project.rows, ("zero.png", "c0"), ("torn.png", "c1")])
    code, out, err = foldtune("search", project.config({"data.train": table}))
    assert (code, out) == (2, "")
    assert "2 of 26 images cannot be decoded; repair them, or leave them out with data.on_broken: skip" in err
    assert "zero.png: empty file" in err
    assert "torn.png: " in err
    assert "starting Ray" not in err
    assert not (project.folder / "runs/tiny/config.yaml").exists()


def test_dicom_files_name_the_extra_that_reads_them(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = project.rows[0][0]
    (project.folder / "images" / first).rename(project.folder / "images" / "d0.dcm")
    table = project.table([("d0.dcm", "c0"), *project.rows[1:]])
    monkeypatch.setattr(dicom, "find_spec", lambda name: None)
    code, out, err = foldtune("validate", project.config({"data.train": table}))
    assert (code, out) == (2, "")
    assert "1 images are DICOM files (first: d0.dcm): DICOM needs pydicom: pip install 'foldtune[dicom]'" in err


@pytest.mark.parametrize(
    ("window", "part"),
    [("lung", "data.window: must be auto, [low, high]"), ([9, 1], "data.window: a window must be a lower and")],
)
def test_a_window_of_another_form_is_explained(project: Any, foldtune: Command, window: Any, part: str) -> None:
    code, _, err = foldtune("validate", project.config({"data.window": window}))
    assert code == 2
    assert part in " ".join(err.split())
