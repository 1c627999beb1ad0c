"""COCO, UFO and ICDAR: the same boxes as JSON by image, by hand; what is written is read again; what is wrong."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foldtune.errors import DataError
from foldtune.trainers.data.readers import ReadOptions, Source
from foldtune.trainers.detection.forms.page import Page, pages_of
from foldtune.trainers.detection.pages import with_sides
from foldtune.trainers.detection.table import boxes_bytes, read_polygons
from foldtune.trainers.tasks.text_detection import TextDetection

QUAD = [[10.0, 12.0], [60.0, 14.0], [58.0, 30.0], [9.0, 28.0]]
LINE = [[5.0, 40.0], [90.0, 40.0], [90.0, 48.0], [5.0, 48.0]]
PAGES: dict[str, list[list[list[float]]]] = {"a.1.jpg": [QUAD, LINE], "b.png": [], "c.png": [LINE]}
WIDTH, HEIGHT = 100, 50


def coco(folder: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {"categories": [{"id": 7, "name": "text"}], "annotations": [], "images": []}
    for number, (name, boxes) in enumerate(PAGES.items(), start=40):
        content["images"].append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for points in boxes:
            low, high = np.min(points, axis=0), np.max(points, axis=0)
            annotation = {"image_id": number, "category_id": 7, "bbox": [*low, *(high - low)], "iscrowd": 0}
            if points is QUAD:
                annotation["segmentation"] = [np.ravel(points).tolist()]
            content["annotations"].append(annotation)
    return written(folder / "coco.json", {**content, **changes})


def written(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def ufo(folder: Path) -> Path:
    words = {
        name: {str(place): {"points": points, "transcription": "x"} for place, points in enumerate(boxes)}
        for name, boxes in PAGES.items()
    }
    words["c.png"]["9"] = {"points": QUAD, "transcription": None, "illegibility": True}
    images = {name: {"img_w": WIDTH, "img_h": HEIGHT, "words": each} for name, each in words.items()}
    return written(folder / "ufo.json", {"images": images})


def icdar(folder: Path) -> Path:
    (folder / "gt").mkdir()
    for name, boxes in PAGES.items():
        lines = [",".join(str(int(value)) for value in np.ravel(points)) + ",12,50, a text" for points in boxes]
        lines += [",".join(["1"] * 8) + ",###"] if name == "c.png" else []
        text = "\r\n".join(lines) + "\r\n"
        (folder / "gt" / f"gt_{Path(name).stem}.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    return folder / "gt"


def read(path: Path) -> Source:
    return TextDetection.read_source(path, ReadOptions("image", "boxes"))


def polygons(source: Source, folder: Path) -> dict[str, list[list[list[float]]]]:
    frame = with_sides(source.frame, folder, "image", "boxes")
    assert frame["width"].tolist() == [WIDTH] * len(frame)
    assert frame["height"].tolist() == [HEIGHT] * len(frame)
    labels = read_polygons(frame, "boxes", "it").polygons
    found = [[np.round(points * (WIDTH, HEIGHT), 9).tolist() for points in boxes] for boxes in labels]
    return dict(zip(frame["image"], found, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PAGES:
        Image.new("RGB", (WIDTH, HEIGHT), "white").save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(("write", "form"), [(coco, "coco"), (ufo, "ufo"), (icdar, "icdar")])
def test_every_form_gives_the_same_boxes(folder: Path, write: Any, form: str) -> None:
    source = read(write(folder))
    assert source.form == form
    found = polygons(source, folder)
    assert list(found) == (["a.1", "b", "c"] if form == "icdar" else list(PAGES))
    for expected, boxes in zip(PAGES.values(), found.values(), strict=True):
        assert np.allclose(np.array(boxes), np.array(expected), atol=1e-9)
    left_out = ("1 region marked as unreadable left out",)
    assert source.notes == (() if form == "coco" else left_out)


def pages() -> list[Page]:
    scores = {"a.1.jpg": (0.9, 0.25), "c.png": (0.5,)}
    return [
        Page(name, HEIGHT, WIDTH, tuple(map(np.array, boxes)), scores.get(name, ())) for name, boxes in PAGES.items()
    ]


@pytest.mark.parametrize("form", ["boxes", "coco", "ufo"])
def test_what_is_written_is_read_again(folder: Path, form: str) -> None:
    facts = {"ids": {"c.png": 3, "other.png": 12}, "categories": [{"id": 7, "name": "word"}]}
    path = folder / "out.json"
    path.write_bytes(boxes_bytes(form, pages(), facts))
    source = read(path)
    assert source.form == form
    assert polygons(source, folder) == PAGES
    content = json.loads(path.read_text())
    if form == "coco":
        assert [each["id"] for each in content["images"]] == [13, 14, 3]
        assert [each["score"] for each in content["annotations"]] == [0.9, 0.25, 0.5]
        assert content["annotations"][2]["bbox"] == [5.0, 40.0, 85.0, 8.0]
        assert {each["category_id"] for each in content["annotations"]} == {7}


def test_icdar_goes_out_as_a_zip_of_a_file_an_image(folder: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(boxes_bytes("icdar", pages()))) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
        archive.extractall(folder / "back")
    assert list(texts) == ["res_a.1.txt", "res_b.txt", "res_c.txt"]
    assert texts["res_c.txt"] == "5,40,90,40,90,48,5,48\r\n"
    assert list(polygons(read(folder / "back"), folder).values()) == list(PAGES.values())
    assert boxes_bytes("icdar", pages()) == boxes_bytes("icdar", pages())


def test_pages_are_predictions_in_pixels() -> None:
    boxes = np.array([[0.1, 0.2, 0.5, 0.2, 0.5, 0.4, 0.1, 0.4, 0.75]])
    found = np.empty(2, dtype=object)
    found[:] = [boxes, np.zeros((0, 9))]
    first, second = pages_of(["x", "y"], found, np.array([[50, 100], [10, 10]]))
    assert first.corners() == [[[10.0, 10.0], [50.0, 10.0], [50.0, 20.0], [10.0, 20.0]]]
    assert (first.scores, second.corners()) == ((0.75,), [])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('38,43,92,48,"Tiredness"\n1, 2, 30, 20, 7', [[38, 43, 92, 43, 92, 48, 38, 48], [1, 2, 30, 2, 30, 20, 1, 20]]),
        ('38 43 92 48 "Tiredness"', [[38, 43, 92, 43, 92, 48, 38, 48]]),
        ("1,2,30,2,40,9,30,20,1,20,####curved, text", [[1, 2, 30, 2, 40, 9, 30, 20, 1, 20]]),
        ("1.5,2,30,2,30,20,1.5,20", [[1.5, 2, 30, 2, 30, 20, 1.5, 20]]),
        ("", []),
    ],
)
def test_lines_of_icdar(tmp_path: Path, lines: str, expected: list[list[float]]) -> None:
    (tmp_path / "gt_a.txt").write_text(lines)
    boxes = read(tmp_path).frame["boxes"][0]
    assert [np.ravel(box["points"]).tolist() for box in boxes] == expected


def test_pictures_beside_their_texts_are_found(folder: Path) -> None:
    for name in PAGES:
        (folder / f"{Path(name).stem}.txt").write_text("1,2,30,2,30,20,1,20,x")
    assert read(folder).images == folder
    (folder / "readme.md").write_text("x")
    with pytest.raises(DataError, match="no images in folders of classes"):
        read(folder)
    (folder / "gt_b.txt").write_text("")
    source = read(folder)
    assert source.frame["image"].tolist() == ["b"]
    assert "3 text files without gt_ before their name are no labels" in source.notes[0]


def test_coco_without_sides_takes_those_of_the_pictures_and_crowds_are_left_out(folder: Path) -> None:
    path = coco(folder)
    content = json.loads(path.read_text())
    for each in content["images"]:
        del each["width"], each["height"]
    content["annotations"].append({"image_id": 41, "bbox": [0, 0, 9, 9], "iscrowd": 1, "category_id": 8})
    content["categories"].append({"id": 8, "name": "stamp"})
    source = read(written(path, content))
    assert polygons(source, folder) == PAGES
    assert source.notes == (
        "boxes of 2 categories are all text: text, stamp",
        "1 region marked as unreadable left out",
    )
    (folder / "b.png").unlink()
    frame = with_sides(source.frame, folder, "image", "boxes")
    assert frame["width"].tolist() == [WIDTH, 1.0, WIDTH]  # its absence is named by the check of the images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 3, "bbox": [1, 2, 3, 4]}]}, "1 annotations are of no image in it .*image_id 3"),
        ({"annotations": [{"image_id": 40, "bbox": [1, 2, 3]}]}, r"annotation 1: no bbox \[x, y, w, h\] or polygon"),
        ({"annotations": [{"image_id": 40, "segmentation": {"counts": "x"}}]}, "annotation 1: no bbox"),
        ({"annotations": "x"}, "is not COCO as in"),
        ({"images": [{"id": 40}]}, "image 1 of the list has no id or no file_name"),
        ({"images": [{"id": 40, "file_name": "a"}, {"id": 40, "file_name": "b"}]}, r"1 ids .* more than once \(40\)"),
    ],
)
def test_wrong_coco_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(coco(tmp_path, **changes))


def test_wrong_ufo_and_icdar_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "ufo.json", {"images": {"a.jpg": {"img_w": 5, "img_h": 5, "words": ["x"]}}})
    with pytest.raises(DataError, match=r"image 'a\.jpg': words are not as in"):
        read(path)
    folder = icdar(tmp_path)
    (folder / "gt_c.txt").write_text("1,2,30,2,30,20,1,20,x\n1,2,30,2,30,20,1\n")
    with pytest.raises(DataError, match=r"gt_c\.txt: line 2 is not x1,y1,x2"):
        read(folder)
    (folder / "gt_c.txt").write_bytes("1,2,30,2,30,20,1,20,한".encode("cp949"))
    with pytest.raises(DataError, match=r"name its encoding in data\.encoding"):
        read(folder)
    for name in ("gt_a.1.txt", "gt_b.txt"):
        (folder / name).write_text("")
    assert len(TextDetection.read_source(folder, ReadOptions(encoding="cp949")).frame) == 3
