from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from foldtune.errors import DataError
from foldtune.trainers.data import id_checks
from foldtune.trainers.data import table as table_module
from foldtune.trainers.data.table import TableLayout, read_table
from foldtune.trainers.tasks.multiclass import Multiclass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / name)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "train.csv"
    path.write_text(text)
    return path


def read(folder: Path, text: str, **options: Any) -> Any:
    path = write(folder, text)
    task = Multiclass.from_frame(pd.DataFrame({"label": ["cat", "dog"]}), "label")
    columns = {name: options.pop(name) for name in ("id_column", "group_column") if name in options}
    return read_table(path, TableLayout(folder / "images", **columns), task, **options)


def problems(folder: Path, text: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, text, **options)
    return str(caught.value)


def test_rows_are_read_in_order_with_targets_paths_and_groups(folder: Path) -> None:
    text = "image,label,patient\nb.png,dog,007\na.png,cat,8\nc.png,dog,007\n"
    table = read(folder, text, group_column="patient")
    assert table.ids.tolist() == ["b.png", "a.png", "c.png"]
    assert table.paths == tuple(folder / "images" / name for name in ("b.png", "a.png", "c.png"))
    assert table.targets.tolist() == [1, 0, 1]
    assert table.groups.tolist() == ["007", "8", "007"]
    assert len(table) == 3


@pytest.mark.parametrize("rows", [np.array([2, 0]), [2, 0]])
def test_select_takes_indices_in_their_order(folder: Path, rows: npt.NDArray[np.int64]) -> None:
    table = read(folder, "image,label\nb.png,dog\na.png,cat\nc.png,dog\n").select(rows)
    assert table.ids.tolist() == ["c.png", "b.png"]
    assert [path.name for path in table.paths] == ["c.png", "b.png"]
    assert table.targets.tolist() == [1, 1]
    assert table.groups is None


def test_select_takes_a_mask(folder: Path) -> None:
    table = read(folder, "image,label\nb.png,dog\na.png,cat\nc.png,dog\n")
    assert table.select(np.array([False, True, True])).ids.tolist() == ["a.png", "c.png"]


def test_an_unlabelled_table_needs_no_label_column(folder: Path) -> None:
    assert read(folder, "image\na.png\n", labelled=False).targets is None


def test_absolute_names_stand_for_themselves(folder: Path) -> None:
    elsewhere = folder / "else.png"
    Image.new("RGB", (4, 4)).save(elsewhere)
    table = read(folder, f"image,label\n{elsewhere},cat\na.png,dog\n")
    assert table.paths[0] == elsewhere


def test_all_problems_come_at_once(folder: Path) -> None:
    text = "image,label,patient\na.png,cat,1\na.png,dgo,\n,cat,2\nx.png,dog,3\n"
    found = problems(folder, text, group_column="patient")
    assert "column 'image' is empty in 1 row (data rows 3)" in found
    assert "column 'image' has 1 names more than once (a.png)" in found
    assert "column 'patient' is empty in 1 row (data rows 2)" in found
    assert "1 of 3 images do not exist" in found
    assert "dgo" in found
    assert "dog" in found


def test_missing_columns_name_the_nearest(folder: Path) -> None:
    found = problems(folder, "imge,label,lesion\na.png,cat,1\n", group_column="lesion_id")
    assert "unknown column 'image'; did you mean 'imge'?" in found
    assert "unknown column 'lesion_id'; did you mean 'lesion'?" in found


def test_missing_images_are_counted_and_five_are_named(folder: Path) -> None:
    rows = "".join(f"x{i}.png,cat\n" for i in range(9))
    found = problems(folder, f"image,label\na.png,dog\n{rows}")
    assert "9 of 10 images do not exist" in found
    assert "x4.png, …" in found
    assert "x5.png" not in found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a.jpg", "a.png exists: write the names with that extension, or without one"),
        ("aa.png", "did you mean 'a.png'?"),
    ],
)
def test_missing_images_come_with_a_hint(folder: Path, name: str, hint: str) -> None:
    assert hint in problems(folder, f"image,label\n{name},cat\n")


def test_images_in_a_folder_beside_are_pointed_at(folder: Path) -> None:
    (folder / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "pictures" / "z.png")
    found = problems(folder, "image,label\nz,cat\n")
    assert f"pictures/z.png exists: set data.test_images, of data.test, or data.images to {folder}/pictures" in found


def test_names_are_compared_in_their_canonical_form(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "images" / "e\u0301.png")
    table = read(folder, "image,label\n\u00e9.png,cat\n a.png ,dog\nb.png\u200b,dog\n")
    assert table.ids.tolist() == ["\u00e9.png", "a.png", "b.png"]
    assert [path.name for path in table.paths] == ["e\u0301.png", "a.png", "b.png"]


def test_groups_in_two_spellings_are_one_and_named(folder: Path) -> None:
    table = read(folder, "image,label,patient\na.png,cat,7\nb.png,dog,7.0\nc.png,dog,007\n", group_column="patient")
    assert table.groups.tolist() == ["7", "7", "007"]
    assert ["are the same" in note for note in table.notes] == [True, False]
    table = read(folder, "image,label,patient\na.png,cat,7.0\nb.png,dog,8.0\n", group_column="patient")
    assert table.groups.tolist() == ["7.0", "8.0"], "what is written in one way stays"


@pytest.mark.parametrize(
    "other",
    ["./a.png", "../images/a.png", "{folder}/images/a.png", "link.png", "hard.png", "more/hard.png", "more/link.png"],
)
def test_one_file_under_two_names_is_one_row_or_refused(folder: Path, other: str) -> None:
    (folder / "images" / "link.png").symlink_to("a.png")
    (folder / "images" / "more").mkdir()
    for linked in ("hard.png", "more/hard.png"):
        (folder / "images" / linked).hardlink_to(folder / "images" / "a.png")
    (folder / "images" / "more" / "link.png").symlink_to("hard.png")
    name = other.format(folder=folder)
    table = read(folder, f"image,label\na.png,cat\n{name},cat\nb.png,dog\n")
    assert table.ids.tolist() == ["a.png", "b.png"]
    assert table.left_out == {"the file of an earlier row": 1}
    assert len(read(folder, f"image,label\na.png,cat\n{name},cat\n", merge=False)) == 2
    found = problems(folder, f"image,label\na.png,cat\n{name},dog\n")
    assert "are one file with different labels (data rows 1 and 2)" in found
    grouped = f"image,label,patient\na.png,cat,p\n{name},cat,q\n"
    assert "one file with different groups" in problems(folder, grouped, group_column="patient")


@pytest.mark.parametrize("name", ["/", "..", "images/..", "a\0b.png", "x" * 5000])
def test_names_that_no_file_has_are_refused(folder: Path, name: str) -> None:
    frame = pd.DataFrame({"image": [name, "a.png"], "label": ["cat", "dog"]})
    task = Multiclass.from_frame(frame, "label")
    with pytest.raises(DataError, match="names that no file has") as caught:
        read_table(folder / "t.csv", TableLayout(folder / "images"), task, frame=frame)
    assert len(str(caught.value)) < 400


def test_numbers_that_lost_their_zeros_are_explained(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "images" / "007.jpg")
    for name in ("7", "7.jpg", "7.0"):
        assert "007.jpg exists: its name is a text with zeros" in problems(folder, f"image,label\n{name},cat\n")


@pytest.mark.slow
def test_one_very_long_group_does_not_lengthen_all(folder: Path) -> None:
    rows = 200_000
    frame = pd.DataFrame({"image": "a.png", "label": "cat", "patient": [f"p{row}" for row in range(rows)]})
    frame.loc[5, "patient"] = "x" * 3000
    groups = table_module.group_names(frame["patient"].tolist())
    assert groups.nbytes < 1 << 28
    assert len(np.unique(groups)) == rows


def test_one_very_long_name_does_not_lengthen_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_checks, "MAX_TEXT_BYTES", 3000)
    name = "./" * 200 + "b.png"
    found = problems(folder, f"image,label\na.png,cat\n{name},dog\n")
    assert "a name of 405 characters among 2 rows" in found
    assert "data row 2); names of a table of this size may have 375" in found


def test_a_missing_image_folder_is_named_with_its_neighbour(folder: Path) -> None:
    (folder / "images").rename(folder / "image")
    found = problems(folder, "image,label\na.png,cat\n")
    assert "images does not exist; did you mean 'image'?" in found


def test_a_folder_named_like_an_image_is_no_image(folder: Path) -> None:
    (folder / "images" / "d.png").mkdir()
    assert "1 of 1 images do not exist" in problems(folder, "image,label\nd.png,cat\n")


def test_unreadable_tables(folder: Path) -> None:
    assert "holds no rows" in problems(folder, "image,label\n")
    assert "train.csv" in problems(folder, "")
    (folder / "train.csv").write_bytes(b"\xff\xfe\x00\x81image")
    task = Multiclass.from_frame(pd.DataFrame({"label": ["cat", "dog"]}), "label")
    with pytest.raises(DataError, match=r"train\.csv"):
        read_table(folder / "train.csv", TableLayout(folder / "images"), task)
    with pytest.raises(DataError, match=r"did you mean 'train\.csv'"):
        read_table(folder / "trian.csv", TableLayout(folder / "images"), task)
    with pytest.raises(DataError, match="unknown label 'images'; valid: cat, dog"):
        read_table(folder, TableLayout(folder / "images"), task)  # a folder with a folder of images: its class
    (folder / "tables").mkdir()
    (folder / "train.csv").replace(folder / "tables/a.csv")
    with pytest.raises(DataError, match=r"is a folder without folders of classes; name the table in it: a\.csv"):
        read_table(folder / "tables", TableLayout(folder / "images"), task)


def test_ham10000_reads_whole(shared_data: Path) -> None:
    root = shared_data / "ham10000"
    task = Multiclass.from_frame(Multiclass.read_frame(root / "train.csv"), "dx")
    table = read_table(root / "train.csv", TableLayout(root / "images", group_column="lesion_id"), task)
    assert len(table) == 7976
    assert table.targets is not None
    assert table.groups is not None
    assert len(np.unique(table.targets)) == 7
    test = read_table(root / "test.csv", TableLayout(root / "images"), task, labelled=False)
    assert len(test) == 2039
