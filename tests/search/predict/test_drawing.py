"""Pictures go into the folder that was named, whatever the images are called."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foldtune.errors import InputError
from foldtune.search.predict.drawing import start_drawing
from foldtune.search.predict.new_images import check_inside, find_images
from foldtune.trainers.tasks.text_detection import TextDetection

NOTHING: Any = np.empty((0, 9))
TASK = TextDetection("boxes", (64, 64), ())


@pytest.fixture
def originals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "originals"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(folder / name)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def listed(*names: str) -> Path:
    Path("new.csv").write_text("image\n" + "".join(f"{name}\n" for name in names))
    return Path("new.csv")


def test_names_that_lead_out_are_drawn_inside(originals: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    before = digests(originals)
    new = find_images(listed(f"{originals}/a.png", "../originals/b.png", "../originals/a.png"), Path("sub"), "image")
    draw = start_drawing(TASK, new, tmp_path / "drawn", None, "image")
    draw(new.paths, [NOTHING] * 3)
    assert digests(originals) == before
    drawn = [path for path in tmp_path.rglob("*.png") if path.parent != originals]
    assert len(drawn) == draw.drawn == 3
    assert all(path.is_relative_to(tmp_path / "drawn") for path in drawn)


def test_two_images_of_one_name_have_two_pictures(originals: Path) -> None:
    Image.open(originals / "a.png").save(originals / "a.jpg")
    new = find_images(originals, None, "image")
    draw = start_drawing(TASK, new, Path("drawn"), None, "image")
    draw(new.paths, [NOTHING] * 3)
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["a.png", "a.png.png", "b.png"]


@pytest.mark.parametrize("folder", ["originals", "linked"])
def test_the_images_are_not_painted_over(originals: Path, folder: str) -> None:
    Path("linked").symlink_to(originals)
    new = find_images(originals, None, "image")
    with pytest.raises(InputError, match="2 of the images themselves would be painted over"):
        start_drawing(TASK, new, Path(folder), None, "image")


def test_a_link_in_the_folder_is_not_followed(originals: Path, tmp_path: Path) -> None:
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn/sub").symlink_to(tmp_path)
    (originals / "sub").mkdir()
    (originals / "a.png").rename(originals / "sub/c.png")
    new = find_images(originals, None, "image")
    draw = start_drawing(TASK, new, tmp_path / "drawn", None, "image")
    with pytest.raises(InputError, match="leads out of"):
        draw(new.paths, [NOTHING] * 2)
    assert not (tmp_path / "c.png").exists()


def test_images_outside_of_the_folder_that_was_given_are_refused(originals: Path) -> None:
    table = listed("a.png", f"{originals}/b.png", "../originals/b.png")
    check_inside(find_images(table, originals, "image"), originals, table)
    table = listed("a.png", "/etc/passwd")
    with pytest.raises(InputError, match=r"1 of 2 images lie outside of .*originals \(first: /etc/passwd\)"):
        check_inside(find_images(table, originals, "image"), originals, table)
