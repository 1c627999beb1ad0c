"""Labelled polygons of every kind: kept, mended, or left out and counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import DataError
from foldtune.trainers.detection.polygons import CROSSING, CUT, FEW_POINTS, FLAT, OUTSIDE, pad, repair, summary, unpad
from foldtune.trainers.detection.table import read_polygons
from foldtune.trainers.tasks.text_detection import TextDetection

WHOLE = [[10, 10], [50, 10], [50, 30], [10, 30]]


def area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize(
    ("points", "note", "left"),
    [
        (WHOLE, None, 800),
        ([[40, 10], [140, 10], [140, 20], [40, 20]], CUT, 600),  # the image ends at x = 100
        ([[-20, -20], [20, -20], [20, 20], [-20, 20]], CUT, 400),
        ([[10, 10], [50, 30], [50, 10], [10, 30]], CROSSING, 800),  # corners in the wrong order
        ([[200, 10], [240, 10], [240, 30], [200, 30]], OUTSIDE, None),
        ([[10, 10], [50, 10], [90, 10], [10, 10]], FLAT, None),  # on one line
        ([[10, 10], [10, 10], [10, 10], [10, 10]], FLAT, None),  # one point
        ([[10, 10], [11, 10], [11, 11], [10, 11]], None, 1),  # one pixel
        ([[10, 10], [50, 10]], FEW_POINTS, None),
        ([[10, 10], [50, 10], [30, 40]], None, 600),
        ([[10, 10], [50, 10], [50, 50], [30, 20], [10, 50]], None, 1000),  # not convex
    ],
)
def test_repaired_polygons_and_their_warnings(points: Any, note: str | None, left: float | None) -> None:
    kept, notes = repair(np.array(points, dtype=float), 100, 80)
    assert notes == (() if note is None else (note,))
    assert (kept is None) == (left is None)
    if kept is not None:
        assert area(kept) == pytest.approx(left)
        assert (kept >= 0).all()
        assert (kept <= (100, 80)).all()


def test_polygons_of_any_number_of_corners_come_back_from_their_array() -> None:
    triangle, square = np.array([[0, 0], [1, 0], [0, 1.0]]), np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    images = [[triangle, square], [], [square]]
    padded = pad(images)
    assert padded.shape == (3, 2, 4, 2)
    for image, target in zip(images, padded, strict=True):
        back = unpad(target)
        assert len(back) == len(image)
        assert all(np.array_equal(a, b) for a, b in zip(image, back, strict=True))
    assert pad([[], []]).shape == (2, 1, 4, 2)


def table(tmp_path: Path, images: Any) -> Path:
    path = tmp_path / "train.json"
    path.write_text(json.dumps(images))
    return path


def test_a_table_is_read_in_shares_and_what_was_dropped_is_counted(tmp_path: Path) -> None:
    bad = [{"points": [[200, 10], [240, 10], [240, 30]]}, {"points": [[300, 10], [340, 10], [340, 30]]}]
    images = {
        "a.jpg": {"width": 100, "height": 50, "boxes": [{"points": WHOLE, "text": "x"}, *bad]},
        "b.jpg": {"width": 10, "height": 10, "boxes": []},
    }
    path = table(tmp_path, images)
    labels = read_polygons(TextDetection.read_frame(path), "boxes", path)
    assert [len(each) for each in labels.polygons] == [1, 0]
    assert labels.polygons[0][0] == pytest.approx(np.array(WHOLE) / (100, 50))
    assert summary(labels.notes) == (f"2 polygons {OUTSIDE}",)
    assert summary(Counter()) == ()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"width": 100, "height": 50}, "boxes must be a list"),
        ({"height": 50, "boxes": []}, "width must be a number of pixels, not None"),
        ({"width": 0, "height": 50, "boxes": []}, "width must be a number of pixels, not 0"),
        ({"width": 100, "height": 50, "boxes": [{"points": [[1, 2], [3]]}]}, r"box 1 must have points \[\[x, y\], …\]"),
        ({"width": 100, "height": 50, "boxes": [{"text": "x"}]}, "box 1 must have points"),
        ({"width": 100, "height": 50, "boxes": [{"points": [["a", 1]]}]}, "box 1 must have points"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, image: Any, message: str) -> None:
    path = table(tmp_path, {"good.jpg": {"width": 9, "height": 9, "boxes": []}, "bad.jpg": image})
    with pytest.raises(DataError, match=f"image 'bad.jpg': {message}"):
        read_polygons(TextDetection.read_frame(path), "boxes", path)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    with pytest.raises(DataError, match="no such file"):
        TextDetection.read_frame(path)
    path.write_text("[1, 2")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        TextDetection.read_frame(path)
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="must be a mapping from image names"):
        TextDetection.read_frame(path)
    path.write_text('{"a.jpg": {"width": 5, "height": 5, "boxes": []}}')
    with pytest.raises(DataError, match="unknown column 'box'; did you mean 'boxes'"):
        read_polygons(TextDetection.read_frame(path), "box", path)


def test_rows_without_labels_are_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("image\na.jpg\n")
    assert TextDetection.read_frame(path)["image"].tolist() == ["a.jpg"]
