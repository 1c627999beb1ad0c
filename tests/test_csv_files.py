"""Tables as people save them: read as meant where that is beyond doubt, else refused by the name of the cause."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from foldtune import csv_files
from foldtune.csv_files import read_csv
from foldtune.errors import DataError

HEADER, ROWS = "image,label,patient", ["a.png,cat,p1", "b.png,dog,p2"]
PLAIN = "\n".join([HEADER, *ROWS]) + "\n"


def read(folder: Path, content: str | bytes, name: str = "t.csv") -> list[list[str]]:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    frame = read_csv(folder / name).fillna("")
    return [list(frame.columns), *frame.to_numpy().tolist()]


def refused(folder: Path, content: str | bytes, name: str = "t.csv") -> str:
    with pytest.raises(DataError) as caught:
        read(folder, content, name)
    (text,) = caught.value.problems
    assert text.startswith(f"{folder / name}: cannot be read as a CSV: ")
    assert len(text) < 500
    return text


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("p1", "p1,"),  # a comma at the end of the first row, which shifts all columns in pandas
        PLAIN.replace("p2", "p2,"),
        PLAIN.replace("p1", "p1,, ,").replace("p2", "p2,"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\n\n"),
    ],
)
def test_one_table_in_many_forms(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content) == [line.split(",") for line in (HEADER, *ROWS)]


def test_packed_tables(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(PLAIN.encode()), "t.csv.gz")[1] == ROWS[0].split(",")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", PLAIN)
    assert read_csv(tmp_path / "t.zip")["label"].tolist() == ["cat", "dog"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (PLAIN.replace("a.png,", "a.png,,"), "1 row has more cells than the 3 columns of the header (line 2: 4)"),
        (PLAIN.replace("dog", "dog, black"), "a text with a comma that lacks its quotes"),
        ("image\na.png,cat\nb.png,dog\n", "no header at all"),
        (PLAIN.replace(",", ";").replace("cat", "cat;x"), "is there a semicolon too many"),
        (PLAIN.replace("dog", "dög").encode("latin-1"), "its encoding is not UTF-8 (line 3, byte 0xf6)"),
        (PLAIN.encode("utf-16-le"), "holds a NUL: the encoding is not UTF-8"),
        (b"\xff\xfe\x00", "begins as UTF-16 does"),
        (b"PK\x03\x04rest", "a ZIP archive or an Excel workbook"),
        (b"PAR1rest", "a Parquet file"),
        (b"", "it is empty"),
        (f'{HEADER}\na.png,"{"x" * 200_000}\n', "a cell of more than 131,072 characters"),
        (
            f'{HEADER}\na.png,cat,\nb.png,"{"x" * 200_000}",\n',
            "data row 2, column 'label': a cell of more than 131,072",
        ),
        ("a," * 20_000 + "a\n" + "1," * 20_000 + "1\n", "it has 20,001 columns; a table may have 10,000"),
    ],
)
def test_refused_by_the_cause(tmp_path: Path, content: str | bytes, part: str) -> None:
    assert part in refused(tmp_path, content)


def test_an_archive_that_unpacks_to_more_than_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "MAX_TABLE_BYTES", 1 << 20)
    bomb = gzip.compress(b"a,b\n" + b"0" * (1 << 24))
    assert len(bomb) < 1 << 15
    assert "holds more than 1 MB" in refused(tmp_path, bomb, "t.csv.gz")
    assert "cannot be unpacked" in refused(tmp_path, b"\x1f\x8bno", "u.csv.gz")


def test_cells_are_counted_before_any_takes_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "MAX_CELLS", 1000)
    monkeypatch.setattr(pd, "read_csv", lambda *_, **__: pytest.fail("parsed"))
    assert "it has 1,002 cells; a table may have 1,000" in refused(tmp_path, "a,b\n" + "1,2\n" * 500)
