"""Rows in every container through the commands: what is read, and how what cannot be read is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.search.conftest import DELETE

Command = Callable[..., tuple[int, str, str]]


def class_folders(project: Any, parts: tuple[str, ...] = ("",)) -> None:
    """Move the project's images into a folder a class, those of each class in turn into each part."""
    for number, (name, label) in enumerate(project.rows):
        folder = project.folder / "rows" / parts[number % len(parts)] / label
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(project.folder / "images" / name, folder / name)


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "json"])
def test_tables(project: Any, foldtune: Command, suffix: str) -> None:
    frame = pd.read_csv(project.folder / "train.csv")
    if suffix == "parquet":
        frame.to_parquet(project.folder / "rows.parquet")
    else:
        frame.to_json(project.folder / f"rows.{suffix}", orient="records", lines=suffix == "jsonl")
    code, out, err = foldtune("validate", project.config({"data.train": f"rows.{suffix}"}))
    assert (code, err) == (0, ""), err
    assert "tiny: multiclass, 24 rows" in out


@pytest.mark.parametrize("parts", [("",), ("train", "val")], ids=["without a split", "with train and val"])
def test_class_folders_need_no_target(project: Any, foldtune: Command, parts: tuple[str, ...]) -> None:
    class_folders(project, parts)
    changes = {"data.train": "rows", "data.target": DELETE, "data.images": DELETE, "ensemble.folds": 3}
    code, out, err = foldtune("validate", project.config(changes))
    assert (code, err) == (0, ""), err
    assert "tiny: multiclass, 24 rows" in out
    assert ("the 12 rows that are marked as validation are fold 0" in " ".join(out.split())) == (len(parts) > 1)


def test_a_folder_to_submit(project: Any, foldtune: Command) -> None:
    class_folders(project, ("train", "train", "test"))
    (project.folder / "rows/test/notes.txt").write_text("x")
    changes = {"data.train": "rows", "data.test": "rows", "data.target": DELETE, "data.images": DELETE}
    code, out, err = foldtune("validate", project.config(changes))
    assert (code, err) == (0, ""), err
    assert "16 rows" in out
    assert "1 files that are no images by their name, left out" in " ".join(out.split())


def arrays(project: Any) -> tuple[np.ndarray, np.ndarray]:
    images = [np.asarray(Image.open(project.folder / "images" / name)) for name, _ in project.rows]
    return np.stack(images), np.array([int(label[1]) for _, label in project.rows])


def test_arrays_and_bytes(project: Any, foldtune: Command) -> None:
    images, labels = arrays(project)
    parts = {"train_images": images, "train_labels": labels, "test_images": images[:2], "test_labels": labels[:2]}
    np.savez(project.folder / "digits.npz", **parts)
    own = {"data.target": DELETE, "data.images": DELETE}
    code, out, err = foldtune(
        "validate", project.config({**own, "data.train": "digits.npz", "data.test": "digits.npz"})
    )
    assert (code, err) == (0, ""), err
    assert "24 rows" in out
    content = [(project.folder / "images" / name).read_bytes() for name, _ in project.rows]
    frame = pd.DataFrame({"image": [{"bytes": each, "path": None} for each in content], "label": labels})
    frame.to_parquet(project.folder / "digits.parquet")
    assert foldtune("validate", project.config({"data.train": "digits.parquet"}))[0] == 0
    code, _, err = foldtune("preview", project.config({"data.train": "digits.parquet"}), "-o", "s.png", "--rows", "1")
    assert code == 0, err
    (project.folder / "images").rename(project.folder / "gone")
    shutil.rmtree(project.folder / "cache")
    assert foldtune("validate", project.config({"data.train": "digits.parquet"}))[0] == 0


@pytest.mark.parametrize("header", ["image,label", "image,label,"])
def test_a_trailing_comma_is_named(project: Any, foldtune: Command, header: str) -> None:
    lines = [header, *(f"{name},{label}," for name, label in project.rows)]
    (project.folder / "train.csv").write_text("\n".join(lines))
    code, out, err = foldtune("validate", project.config())
    assert code == 0, err
    assert "train.csv: lines end in a trailing comma" in " ".join((out + err).split())


def test_another_encoding_is_named_and_then_read(project: Any, foldtune: Command) -> None:
    korean = {"c0": "모반", "c1": "흑색종", "c2": "각화증"}
    text = "image,label\n" + "".join(f"{name},{korean[label]}\n" for name, label in project.rows)
    (project.folder / "korean.csv").write_bytes(text.encode("cp949"))
    code, _, err = foldtune("validate", project.config({"data.train": "korean.csv"}))
    assert code == 2
    assert "its encoding is not UTF-8 (line 2, byte 0xb8); likely cp949 or " in err
    code, _, err = foldtune("validate", project.config({"data.train": "korean.csv", "data.encoding": "cp949"}))
    assert (code, err) == (0, ""), err
    code, _, err = foldtune("validate", project.config({"data.train": "korean.csv", "data.encoding": "ascii"}))
    assert code == 2
    assert "its encoding is not ascii (line 2, byte 0xb8)" in err
    code, _, err = foldtune("validate", project.config({"data.encoding": "klingon"}))
    assert code == 2
    assert "data.encoding: no encoding of text is called 'klingon'" in err


def two_parts_of_a_name(folder: Path) -> None:
    for name in ("train/a", "val/a", "valid/a"):
        (folder / "bad" / name).mkdir(parents=True)


def saved(folder: Path, **arrays: np.ndarray) -> None:
    np.savez(folder / "bad.npz", **arrays)


GREY, THREE = np.zeros((3, 4, 4), np.uint8), np.arange(3)
BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "an archive": (
        lambda folder: shutil.make_archive(str(folder / "bad"), "zip", folder / "images"),
        "bad.zip",
        "is an archive of 24 files; unpack it, and name the folder or the table in it",
    ),
    "a packed archive": (
        lambda folder: shutil.make_archive(str(folder / "bad"), "gztar", folder / "images"),
        "bad.tar.gz",
        "is an archive; unpack it",
    ),
    "a workbook": (lambda folder: (folder / "bad.xlsx").write_bytes(b"PK\x03\x04"), "bad.xlsx", "is a workbook"),
    "no Parquet": (lambda folder: (folder / "bad.parquet").write_bytes(b"PAR1"), "bad.parquet", "as a Parquet file"),
    "no JSON": (lambda folder: (folder / "bad.json").write_text("{"), "bad.json", "cannot be read as JSON: Expecting"),
    "a number as JSON": (lambda folder: (folder / "bad.json").write_text("7"), "bad.json", "rows are of the form"),
    "a line that is no mapping": (
        lambda folder: (folder / "bad.jsonl").write_text('{"image": "a.png"}\n[1]\n'),
        "bad.jsonl",
        "line 2 is no mapping",
    ),
    "images without classes": (lambda folder: None, "images", "holds no images in folders of classes (CLASS/IMAGE)"),
    "a folder with a table": (
        lambda folder: (folder / "bad").mkdir() or shutil.copy(folder / "train.csv", folder / "bad"),  # type: ignore
        "bad",
        "name the table in it: train.csv",
    ),
    "arrays of objects": (
        lambda folder: saved(folder, images=np.array([{}, {}, {}]), labels=THREE),
        "bad.npz",
        "array 'images': holds Python objects, which are not read",
    ),
    "volumes": (
        lambda folder: saved(folder, images=np.zeros((3, 9, 9, 9), np.uint8), labels=THREE),
        "bad.npz",
        "has the shape (3, 9, 9, 9); images are (N, height, width)",
    ),
    "negative pixels": (
        lambda folder: saved(folder, images=GREY - 1.5, labels=THREE),
        "bad.npz",
        "holds values of -1.5 to -1.5; pixels are bytes, or floats of 0 to 1",
    ),
    "too few labels": (
        lambda folder: saved(folder, images=GREY, labels=THREE[:2]),
        "bad.npz",
        "has the shape (2,) beside 3 images",
    ),
    "arrays without images": (
        lambda folder: saved(folder, mean=GREY),
        "bad.npz",
        "has no array of images; it has: mean",
    ),
    "an array without labels": (
        lambda folder: np.save(folder / "images.npy", GREY),
        "images.npy",
        "has no array of labels beside it (such as labels.npy)",
    ),
    "no array": (lambda folder: (folder / "bad.npy").write_bytes(b"x"), "bad.npy", "is no array of NumPy"),
    "a Parquet without images": (
        lambda folder: pd.DataFrame({"label": ["a", "b"]}).to_parquet(folder / "bad.parquet"),
        "bad.parquet",
        "unknown column of",
    ),
    "a Parquet with an empty image": (
        lambda folder: pd.DataFrame({"image": [b"x", None], "label": ["a", "b"]}).to_parquet(folder / "bad.parquet"),
        "bad.parquet",
        "column 'image' holds no image in 1 of 2 rows (data rows 2)",
    ),
    "two validation parts": (two_parts_of_a_name, "bad", "val and valid are both the valid part; keep one"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_refused_by_name(project: Any, foldtune: Command, name: str) -> None:
    write, train, part = BAD[name]
    write(project.folder)
    code, out, err = foldtune("validate", project.config({"data.train": train}))
    assert (code, out) == (2, "")
    assert part in err
    assert err.count("error: data.") == err.count("\n") == 1, err


def test_an_archive_in_the_place_of_the_images_is_named(project: Any, foldtune: Command) -> None:
    shutil.make_archive(str(project.folder / "packed"), "zip", project.folder / "images")
    code, _, err = foldtune("validate", project.config({"data.images": "packed.zip"}))
    assert code == 2
    assert "packed.zip is a file, not a folder; unpack it" in err


def test_an_image_column_that_metadata_lacks_is_named(project: Any, foldtune: Command) -> None:
    shutil.copy(project.folder / "train.csv", project.folder / "images/metadata.csv")
    code, _, err = foldtune("validate", project.config({"data.train": "images"}))
    assert code == 2
    assert "metadata.csv: unknown column 'file_name'" in err
