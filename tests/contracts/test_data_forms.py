"""Every form of rows is read as pandas, json, NumPy and PIL read it by hand."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldtune.trainers.data.readers import Part, ReadOptions, Source, read_source
from foldtune.trainers.images.cache_listing import list_caches

NAMES = [f"{number:03d}.jpg" for number in range(6)]
LABELS = ["nv", "각화증", "NA", "bkl, rare", "", "nv"]
TABLE = pd.DataFrame({"image": NAMES, "dx": LABELS, "age": [40, 55, 61, 7, 80, 33], "size": [1.5, 2, 0.25, 3, 4, 5]})
"""Names with leading zeros, a class that pandas takes for a missing cell, a comma, an empty cell, numbers."""


def by_hand(frame: pd.DataFrame) -> list[list[str]]:
    """Return the rows as the csv module reads what pandas writes of them: every cell a text, "" where missing."""
    return [list(frame.columns), *csv.reader(frame.to_csv(index=False, header=False).splitlines())]


def as_read(source: Source) -> list[list[str]]:
    return [list(source.frame.columns), *source.frame.fillna("").to_numpy(dtype=object).tolist()]


@dataclass(frozen=True)
class Form:
    """A form of rows: a writer (folder -> path), and the rows that are expected."""

    name: str
    write: Callable[[Path], Path]
    rows: Callable[[Path], list[list[str]]] = lambda path: by_hand(TABLE)
    id: str = "image"
    target: str = "dx"
    part: Part = "train"
    encoding: str | None = None


def text(name: str, **how: object) -> Form:
    def write(folder: Path) -> Path:
        TABLE.to_csv(folder / name, index=False, **how)  # type: ignore[call-overload]
        return folder / name

    encoding = "cp949" if how.get("encoding") == "cp949" else None
    return Form(f"{name} {how}", write, encoding=encoding)


def parquet(folder: Path) -> Path:
    TABLE.assign(dx=TABLE.dx.astype("category")).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


FILES = TABLE.rename(columns={"image": "file_name"})


def json_rows(name: str, content: object, **how: object) -> Form:
    def write(folder: Path) -> Path:
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return folder / name

    return Form(f"{name} of a {how.pop('of')}", write, **how)  # type: ignore[arg-type]


def lines(folder: Path) -> Path:
    TABLE.to_json(folder / "rows.jsonl", orient="records", lines=True)
    return folder / "rows.jsonl"


def metadata(*parts: str) -> Callable[[Path], Path]:
    """Return the writer of a folder with a table, or of one such folder a part."""

    def write(folder: Path) -> Path:
        for part in parts:
            (folder / part).mkdir(exist_ok=True)
            FILES.to_csv(folder / part / "metadata.csv", index=False)
        return folder

    return write


def images(*names: str) -> Callable[[Path], Path]:
    """Return the writer of a folder of images with these names, and of a file that is no image."""

    def write(folder: Path) -> Path:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (2, 2)).save(folder / name)
        (folder / "Thumbs.db").write_bytes(b"x")
        return folder

    return write


def listed(column: str, *rows: str) -> Callable[[Path], list[list[str]]]:
    return lambda path: [["image", *column.split()], *(row.split() for row in rows)]


def of_both_parts(path: Path) -> list[list[str]]:
    parts = [FILES.assign(file_name=f"{part}/" + FILES.file_name) for part in ("train", "val")]
    both = pd.concat([parts[0].assign(split="train"), parts[1].assign(split="valid")])
    return by_hand(both.rename(columns={"file_name": "image"}))


def medmnist(folder: Path) -> Path:
    parts = {"train": [[3], [1]], "val": [[2]], "test": [[0], [1]]}
    images = {f"{part}_images": np.full((len(rows), 4, 5), 9, np.uint8) for part, rows in parts.items()}
    labels = {f"{part}_labels": np.array(rows, np.uint8) for part, rows in parts.items()}
    np.savez_compressed(folder / "rows.npz", **images, **labels)
    return folder / "rows.npz"


def multi_hot(folder: Path) -> Path:
    images = np.zeros((3, 4, 5, 3), np.uint8)
    np.savez(folder / "rows.npz", train_images=images, train_labels=np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]]))
    return folder / "rows.npz"


def array(images: str, labels: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / images, np.zeros((2, 4, 5)))
        np.save(folder / labels, np.array(["nv", "mel"]))
        np.save(folder / "other_labels.npy", np.array(["x"]))
        return folder / images

    return write


def embedded(*columns: str) -> Callable[[Path], Path]:
    """Return the writer of a Parquet file with images as bytes, in columns of these names."""

    def write(folder: Path) -> Path:
        file = io.BytesIO()
        Image.new("L", (2, 2)).save(file, "JPEG")
        pair = {"bytes": file.getvalue(), "path": "x/b.jpeg"}
        values: dict[str, list[object]] = {
            "image": [pair, {**pair, "path": "a.jpeg"}],
            "scan": [file.getvalue()] * 2,
            "key": ["01", "1"],
            "dx": ["nv", "mel"],
        }
        pd.DataFrame({name: values[name] for name in columns}).to_parquet(folder / "rows.parquet")
        return folder / "rows.parquet"

    return write


SPLIT = images("train/0/a.jpg", "train/1/deep/b.PNG", "val/1/c.jpg", "test/d.jpg", "test/e.jpg")
RECORDS = TABLE.astype(object).where(TABLE != "", None).to_dict("records")

FORMS = [
    text("rows.csv"),
    text("rows.csv", sep=";"),
    text("rows.tsv", sep="\t"),
    text("rows.csv", encoding="utf-8-sig"),
    text("rows.csv", encoding="utf-16"),
    text("rows.csv", lineterminator="\r\n"),
    text("rows.csv.gz"),
    text("rows.csv", encoding="cp949"),
    Form("parquet", parquet),
    Form("json lines", lines),
    json_rows("rows.json", RECORDS, of="list"),
    json_rows("rows.json", {row["image"]: {k: row[k] for k in ("dx", "age", "size")} for row in RECORDS}, of="mapping"),
    json_rows("rows.json", {name: list(TABLE[name]) for name in TABLE}, of="columns"),
    json_rows("rows.json", json.loads(TABLE.to_json()), of="columns as pandas has them"),
    json_rows("rows.json", {"a.jpg": "nv", "b.jpg": "mel"}, of="labels", rows=listed("dx", "a.jpg nv", "b.jpg mel")),
    Form("a folder with metadata.csv", metadata("")),
    Form("folders with metadata.csv", metadata("train", "val"), of_both_parts),
    Form("folders with metadata.csv, to submit", metadata("train", "test"), part="test"),
    Form(
        "class folders",
        images("nv/b.jpg", "nv/a.jpg", "mel/b.jpg", "train/x.jpg"),
        listed("dx", "mel/b.jpg mel", "nv/a.jpg nv", "nv/b.jpg nv", "train/x.jpg train"),
    ),
    Form(
        "class folders in train and val",
        SPLIT,
        listed("dx split", "train/0/a.jpg 0 train", "train/1/deep/b.PNG 1 train", "val/1/c.jpg 1 valid"),
    ),
    Form(
        "class folders, of which those to submit have no classes",
        SPLIT,
        lambda path: [["image", "dx"], ["d.jpg", ""], ["e.jpg", ""]],
        part="test",
    ),
    Form(
        "npz with a split",
        medmnist,
        listed("dx split", "train/0.png 3 train", "train/1.png 1 train", "val/0.png 2 valid"),
    ),
    Form("npz, to submit", medmnist, listed("dx", "0.png 0", "1.png 1"), part="test"),
    Form(
        "npz of several labels",
        multi_hot,
        lambda path: [
            ["image", "dx", "dx_0", "dx_1", "dx_2"],
            ["train/0.png", "0|2", "1", "0", "1"],
            ["train/1.png", "", "0", "0", "0"],
            ["train/2.png", "1", "0", "1", "0"],
        ],
    ),
    Form("npy", array("train_images.npy", "train_labels.npy"), listed("dx", "0.png nv", "1.png mel")),
    Form("npy of x and y", array("X.npy", "y.npy"), listed("dx", "0.png nv", "1.png mel")),
    Form("bytes and paths in Parquet", embedded("image", "dx"), listed("dx", "b.jpeg nv", "a.jpeg mel")),
    Form("bytes in Parquet", embedded("scan", "dx"), listed("dx", "0.jpg nv", "1.jpg mel")),
    Form(
        "bytes beside ids in Parquet",
        embedded("key", "scan", "dx"),
        lambda path: [["key", "dx"], ["01.jpg", "nv"], ["1.jpg", "mel"]],
        id="key",
    ),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_rows_are_those_that_are_read_by_hand(form: Form, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    path = form.write(tmp_path / "rows")
    source = read_source(path, ReadOptions(form.id, form.target, form.part, form.encoding, tmp_path / "unpacked"))
    assert as_read(source) == form.rows(path)
    assert all(isinstance(cell, str) or pd.isna(cell) for cell in source.frame.to_numpy(dtype=object).ravel())
    assert source.frame.index.equals(pd.RangeIndex(len(source.frame)))


def cells() -> Iterator[tuple[str, pd.Series, list[str]]]:
    """Yield columns of a Parquet file that are no texts, and their cells as text."""
    yield "bool", pd.Series([True, False]), ["True", "False"]
    yield "int with a gap", pd.Series([7, None], dtype="Int64"), ["7", ""]
    yield "float", pd.Series([0.1, float("nan")], dtype="float32"), ["0.1", ""]
    yield "large int", pd.Series([2**62, -1]), [str(2**62), "-1"]
    yield "list", pd.Series([["a", "b"], []]), ['["a", "b"]', "[]"]
    yield "mapping", pd.Series([{"a": 0.4}, {"a": 1.0}]), ['{"a": 0.4}', '{"a": 1.0}']
    yield "mapping of other keys", pd.Series([{"a": 0.4}, {"b": 1.0}]), ['{"a": 0.4}', '{"b": 1.0}']
    yield "number list", pd.Series([np.array([1, 0]), np.array([0, 1])]), ["[1, 0]", "[0, 1]"]
    yield "date", pd.Series(pd.to_datetime(["2020-01-02", None])), ["2020-01-02", ""]


@pytest.mark.parametrize(("name", "column", "expected"), cells(), ids=[name for name, *_ in cells()])
def test_typed_cells_of_parquet(name: str, column: pd.Series, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"image": ["a.jpg", "b.jpg"], "cell": column}).to_parquet(path)
    assert read_source(path).frame["cell"].fillna("").tolist() == expected


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3))


@pytest.mark.parametrize(
    ("name", "images", "expected"),
    [
        ("colours", PIXELS.astype(np.uint8), PIXELS),
        ("grey", PIXELS[..., 0].astype(np.uint8), PIXELS[..., 0]),
        ("one channel", PIXELS[..., :1].astype(np.uint8), PIXELS[..., 0]),
        ("channels first", PIXELS.transpose(0, 3, 1, 2).astype(np.uint8), PIXELS),
        ("floats of 0 to 1", PIXELS / 255, PIXELS),
        ("half floats", (PIXELS / 255).astype(np.float16), PIXELS),
        ("integers", PIXELS, PIXELS),
        ("truth values", PIXELS > 128, (PIXELS > 128) * 255),
        ("12 bits", PIXELS[..., 0] * 16 + 1, PIXELS[..., 0] * 16 + 1),
    ],
)
def test_pixels_of_arrays_are_files_with_the_same_pixels(
    name: str, images: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", np.arange(3))
    source = read_source(tmp_path / "x.npy", ReadOptions(unpacked=tmp_path / "unpacked"))
    assert source.images is not None
    read = [np.asarray(Image.open(source.images / file)) for file in source.frame["image"]]
    assert np.array_equal(read, expected)


def test_images_are_unpacked_once_until_the_file_is_another(tmp_path: Path) -> None:
    path, options = medmnist(tmp_path), ReadOptions(unpacked=tmp_path / "unpacked")
    first = read_source(path, options).images
    assert first is not None
    (first / "train/0.png").unlink()
    assert read_source(path, options).images == first
    assert not (first / "train/0.png").exists(), "not written again"
    assert [entry.torn for entry in list_caches(tmp_path)] == [False]
    os.utime(path, (1, 1))
    assert read_source(path, options).images != first
