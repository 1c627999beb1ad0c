"""Cases among new images: order, parts and reasons."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldtune.errors import InputError
from foldtune.search.predict.case_columns import CaseColumns, of_units, whole_cases
from foldtune.search.predict.new_images import find_images, sample_images, with_columns
from foldtune.search.predict.stored_ensemble import StoredEnsemble


def test_images_of_a_case_stand_behind_each_other(tmp_path: Path) -> None:
    for name in "abcd":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    table = tmp_path / "new.csv"
    pd.DataFrame({"image": ["a.png", "b.png", "c.png", "d.png"], "eye": ["2", "1", "2", "1 "]}).to_csv(
        table, index=False
    )
    found = find_images(table, None, "image", case=CaseColumns(("image",), "eye"))
    assert (found.ids, found.judged) == (("a.png", "c.png", "b.png", "d.png"), ("2", "1"))
    assert found.units.tolist() == [0, 0, 1, 1]
    wide = tmp_path / "wide.csv"
    pd.DataFrame({"one": ["a.png", "c.png"], "two": ["b.png", None]}).to_csv(wide, index=False)
    found = find_images(wide, None, "image", case=CaseColumns(("one", "two"), None))
    assert (found.ids, found.judged) == (("a.png", "b.png", "c.png"), ("a.png", "c.png"))
    with pytest.raises(InputError, match=r"unknown column 'eye'.*the ensemble judges cases"):
        find_images(wide, None, "one", case=CaseColumns(("one",), "eye"))


def test_a_part_never_cuts_a_case() -> None:
    units = np.array([0, 0, 1, 2, 2, 2, 2, 3])
    for size in range(1, 10):
        parts = [units[part].tolist() for part in whole_cases(units, size)]
        assert np.concatenate(parts).tolist() == units.tolist()
        assert all(set(one).isdisjoint(other) for one, other in pairwise(parts))
        assert all(len(part) <= size or len(set(part)) == 1 for part in parts)
    assert list(whole_cases(np.arange(5), 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]


def test_a_case_lacks_a_prediction_where_all_its_images_do() -> None:
    units, readable = np.array([4, 4, 5, 5]), np.array([1])
    assert of_units({0: "x", 2: "y", 3: "z"}, units, readable) == {5: "y"}
    assert of_units({0: "x"}, None, readable) == {0: "x"}


def test_images_without_a_table_of_cases_are_judged_by_themselves_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from foldtune.search.cli.handlers.use.predict import _case_columns

    ensembles: Any = {None: SimpleNamespace(description={"case": {"column": "eye", "images": ["image"]}})}
    (tmp_path / "t.csv").write_text("image,eye\n")
    assert _case_columns(ensembles, tmp_path / "t.csv") == CaseColumns(("image",), "eye")
    assert _case_columns(ensembles, tmp_path) is None
    assert "without a table of them, each image is judged by itself" in " ".join(capsys.readouterr().err.split())


def test_tables_of_new_images_are_in_the_encoding_of_the_run(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "눈.png")
    (tmp_path / "t.csv").write_bytes("image,나이\n눈.png,7\n".encode("cp949"))
    ensemble = StoredEnsemble(None, {"encoding": "cp949"}, None)  # type: ignore[arg-type]
    images = find_images(tmp_path / "t.csv", None, "image", encoding=ensemble.encoding)
    assert images.ids == ("눈.png",)
    found = with_columns(images, {"나이": "number"}, tmp_path / "t.csv", "image", None, ensemble.encoding)
    assert found.columns is not None
    assert found.columns.values["나이"].tolist() == [7.0]
    assert sample_images(tmp_path / "t.csv", tmp_path, "image", ensemble.encoding).paths == (tmp_path / "눈.png",)
    for given in ({}, {"encoding": 5}, {"encoding": "no such"}):
        assert StoredEnsemble(None, given, None).encoding is None  # type: ignore[arg-type]
