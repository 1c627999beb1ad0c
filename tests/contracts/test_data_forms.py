"""Every form of rows is read as pandas, json, NumPy and PIL read it by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldtune.trainers.data.readers import ReadOptions, Source, read_source

NAMES = [f"{number:03d}.jpg" for number in range(6)]
LABELS = ["nv", "mel", "NA", "bkl, rare", "", "nv"]
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


def text(name: str, **how: object) -> Form:
    def write(folder: Path) -> Path:
        TABLE.to_csv(folder / name, index=False, **how)  # type: ignore[call-overload]
        return folder / name

    return Form(f"{name} {how}", write)


def parquet(folder: Path) -> Path:
    TABLE.assign(dx=TABLE.dx.astype("category")).to_parquet(folder / "rows.parquet")
    return folder / "rows.parquet"


FORMS = [
    text("rows.csv"),
    text("rows.csv", sep=";"),
    text("rows.tsv", sep="\t"),
    text("rows.csv", encoding="utf-8-sig"),
    text("rows.csv", encoding="utf-16"),
    text("rows.csv", lineterminator="\r\n"),
    text("rows.csv.gz"),
    Form("parquet", parquet),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_rows_are_those_that_are_read_by_hand(form: Form, tmp_path: Path) -> None:
    path = form.write(tmp_path)
    source = read_source(path, ReadOptions(target_column=form.target))
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
    yield "number list", pd.Series([np.array([1, 0]), np.array([0, 1])]), ["[1, 0]", "[0, 1]"]
    yield "date", pd.Series(pd.to_datetime(["2020-01-02", None])), ["2020-01-02", ""]


@pytest.mark.parametrize(("name", "column", "expected"), cells(), ids=[name for name, *_ in cells()])
def test_typed_cells_of_parquet(name: str, column: pd.Series, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"image": ["a.jpg", "b.jpg"], "cell": column}).to_parquet(path)
    assert read_source(path).frame["cell"].fillna("").tolist() == expected
