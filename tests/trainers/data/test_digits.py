from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from foldtune.errors import DataError
from foldtune.trainers.data.digits import write_digits
from foldtune.trainers.data.table import TableLayout, read_table
from foldtune.trainers.tasks.multiclass import Multiclass


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "digits"
    write_digits(folder)
    return folder


def test_tables_belong_together(digits: Path) -> None:
    tables = {path.stem: pd.read_csv(path) for path in digits.glob("*.csv")}
    assert set(tables) == {"train", "test", "sample_submission", "test_labels"}
    assert list(tables["train"]) == list(tables["sample_submission"]) == list(tables["test_labels"])
    assert list(tables["train"]) == ["image", "label"]
    assert list(tables["test"]) == ["image"]
    assert tables["test"].image.equals(tables["sample_submission"].image)
    assert tables["test"].image.equals(tables["test_labels"].image)
    assert not set(tables["train"].image) & set(tables["test"].image)
    assert len(tables["test"]) == 400


def test_train_is_imbalanced_ten_to_one_and_test_is_not(digits: Path) -> None:
    train = pd.read_csv(digits / "train.csv").label.value_counts()
    test = pd.read_csv(digits / "test_labels.csv").label.value_counts()
    assert train.max() / train.min() == pytest.approx(10, rel=0.05)
    geometric = train.max() * 10 ** (-np.arange(10) / 9)
    assert np.abs(np.sort(train)[::-1] - geometric).max() < 1
    assert sorted(train.index) == sorted(test.index) == list(range(10))
    assert test.min() >= 38


def test_pictures_are_the_real_digits_with_their_labels(digits: Path) -> None:
    real = load_digits()
    for name in ("train.csv", "test_labels.csv"):
        for row in pd.read_csv(digits / name).iloc[::40].itertuples():
            number = int(row.image[6:10])
            assert real.target[number] == row.label
            image = Image.open(digits / "images" / row.image)
            assert image.size == (32, 32)
            small = np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=float)
            assert np.corrcoef(small.ravel(), real.images[number].ravel())[0, 1] > 0.97


def test_the_tables_are_ones_that_we_can_read(digits: Path) -> None:
    task = Multiclass.from_frame(Multiclass.read_frame(digits / "train.csv"), "label")
    assert task.label_names == tuple("0123456789")
    table = read_table(digits / "train.csv", TableLayout(digits / "images"), task)
    assert len(table) == len(list((digits / "images").iterdir())) - 400


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_seed_decides_and_a_folder_of_digits_may_be_written_again(digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    write_digits(folder, seed=1)
    other = contents(folder)
    assert other != contents(digits)
    write_digits(folder)
    assert contents(folder) == contents(digits)


@pytest.mark.parametrize("name", ["notes.txt", "images/cat.jpg", "train.csv", "runs/a/config.yaml"])
def test_a_folder_with_anything_else_is_refused_and_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("image,label\ncat.jpg,cat\n")
    with pytest.raises(DataError, match="give a new or an empty folder"):
        write_digits(tmp_path)
    assert list(contents(tmp_path)) == [name]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits").write_text("")
    with pytest.raises(DataError, match="is a file"):
        write_digits(tmp_path / "digits")
