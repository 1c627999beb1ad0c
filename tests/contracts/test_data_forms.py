"""Every form of rows is read as pandas, json, NumPy and PIL read it by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldtune.trainers.data.readers import Part, ReadOptions, Source, read_source

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
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_rows_are_those_that_are_read_by_hand(form: Form, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    source = read_source(path, ReadOptions(target_column=form.target, part=form.part, encoding=form.encoding))
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
