"""scikit-learn's handwritten digits (1,797 real images of 8x8) as a small imbalanced image data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from foldtune.errors import DataError
from foldtune.wording import first_few

SIDE = 32
TEST_ROWS = 400
IMBALANCE = 10.0
_FILES = ("train.csv", "test.csv", "sample_submission.csv", "test_labels.csv")


def write_digits(folder: str | Path, seed: int = 0) -> None:
    """Write train.csv, test.csv, sample_submission.csv, test_labels.csv and images/ under `folder`.

    Columns are image, label; test.csv has image alone. In train.csv (about 550 rows) class sizes fall
    geometrically by 10 : 1 from the most to the least frequent; `seed` draws which digits are rare. The 400
    test rows are stratified.

    Raises:
        DataError: a folder that holds other files.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise DataError([f"{folder}: is a file; give a new or an empty folder"])
    if foreign := _foreign(folder):
        raise DataError([f"{folder}: holds other files ({first_few(foreign)}); give a new or an empty folder"])
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=TEST_ROWS, stratify=labels, random_state=seed)
    train = _thin_out(np.sort(train), labels, np.random.default_rng(seed))
    folder.mkdir(parents=True, exist_ok=True)
    _write_images(folder / "images", digits.images, np.concatenate([train, test]))
    _write_tables(folder, labels, train, np.sort(test))


def _foreign(folder: Path) -> list[str]:
    """Return the files under `folder` that this module did not write."""
    if not folder.is_dir():
        return []
    files = [path.relative_to(folder) for path in folder.rglob("*") if path != folder / "images"]
    return sorted(str(path) for path in files if not _is_ours(folder, path))


def _is_ours(folder: Path, path: Path) -> bool:
    if path.name in _FILES and path.parent == Path():
        lines = (folder / path).read_text(errors="replace").splitlines()
        return len(lines) > 1 and lines[1].startswith("digit_")
    return path.parent == Path("images") and path.match("digit_[0-9][0-9][0-9][0-9].png")


def _thin_out(
    rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return rows whose class sizes fall geometrically from the smallest class's size to a tenth of it."""
    classes = rng.permutation(np.unique(labels))
    largest = int(np.bincount(labels[rows]).min())
    sizes = np.round(largest * IMBALANCE ** -np.linspace(0, 1, len(classes))).astype(int)
    kept = [rng.permutation(rows[labels[rows] == c])[:n] for c, n in zip(classes, sizes, strict=True)]
    return np.sort(np.concatenate(kept))


def _write_images(folder: Path, images: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]) -> None:
    """PNGs of SIDE x SIDE, bicubic; the digits' grey levels run from 0 to 16."""
    folder.mkdir(exist_ok=True)
    for left in folder.glob("digit_*.png"):
        left.unlink()
    grey = np.round(images * (255 / 16)).astype(np.uint8)
    for row in rows:
        image = Image.fromarray(grey[row]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(folder / _name(row))


def _write_tables(
    folder: Path, labels: npt.NDArray[np.int64], train: npt.NDArray[np.int64], test: npt.NDArray[np.int64]
) -> None:
    commonest = np.bincount(labels[train]).argmax()
    tables = {
        "train.csv": pd.DataFrame({"image": map(_name, train), "label": labels[train]}),
        "test.csv": pd.DataFrame({"image": map(_name, test)}),
        "sample_submission.csv": pd.DataFrame({"image": map(_name, test), "label": commonest}),
        "test_labels.csv": pd.DataFrame({"image": map(_name, test), "label": labels[test]}),
    }
    for name, table in tables.items():
        table.to_csv(folder / name, index=False)


def _name(row: int) -> str:
    return f"digit_{row:04d}.png"
