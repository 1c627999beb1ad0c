"""The contact sheet: its pictures, their captions, and the written file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from foldtune.results.exports.contact_sheet import ColumnGroup, Row, Sheet, draw
from foldtune.search.assess.preview import choose_rows, preview, variants
from foldtune.search.runs.validation import Checked, check_file
from foldtune.trainers.tasks import get_task
from tests.images import decode

Command = Callable[..., tuple[int, str, str]]
AUGMENTATION = {"choice": {"none": None, "light": {"strength": {"uniform": [0.0, 1.0]}}, "flip": {"flips": "both"}}}


def checked(project: Any, **space: Any) -> Checked:
    return check_file(Path(project.config({f"space.{key}": value for key, value in space.items()})))


def test_every_choice_is_a_group_and_every_end_of_a_range_a_column(project: Any) -> None:
    sheet = preview(checked(project, augmentation=AUGMENTATION), rows=4, seed=0)
    assert [group.title for group in sheet.groups] == ["original", "none", "light", "flip"]
    assert sheet.groups[2].columns == ("strength 0", "strength 0.5", "strength 1")
    assert [group.note for group in sheet.groups] == ["", "", "flips horizontal", "flips both"]
    assert len(sheet.rows) == 4
    assert all(len(row.pictures) == 6 for row in sheet.rows)


def test_the_pictures_are_the_images_with_their_own_labels(project: Any) -> None:
    labels = dict(project.rows)
    sheet = preview(checked(project, augmentation=AUGMENTATION), rows=6, seed=3)
    assert sorted(row.label for row in sheet.rows) == ["c0", "c0", "c1", "c1", "c2", "c2"]
    for row in sheet.rows:
        original = decode(project.folder / "images" / row.name, (16, 16))
        assert row.label == labels[row.name]
        assert np.array_equal(row.pictures[0], original)
        assert np.array_equal(row.pictures[1], original)  # none
        flipped = [original, original[:, ::-1], original[::-1], original[::-1, ::-1]]
        assert any(np.array_equal(row.pictures[2], each) for each in flipped)  # light of strength 0 flips alone
    assert any(not np.array_equal(row.pictures[4], row.pictures[0]) for row in sheet.rows)


def test_the_seed_decides_images_and_chance(project: Any) -> None:
    run = checked(project, augmentation=AUGMENTATION)
    first, again, other = (preview(run, rows=5, seed=seed) for seed in (1, 1, 2))
    assert [row.name for row in first.rows] == [row.name for row in again.rows]
    for a, b in zip(first.rows, again.rows, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.pictures, b.pictures, strict=True))
    assert [row.name for row in first.rows] != [row.name for row in other.rows]


def test_a_space_without_augmentation_shows_the_default_of_a_trial(project: Any) -> None:
    (variant,) = variants(checked(project))
    assert (variant.title, variant.augmentation.params["strength"]) == ("light", 0.5)


def test_crops_are_shown_with_the_size_that_the_network_gets(project: Any) -> None:
    crop = {"choice": {"resize": None, "random_crop": {"size": 12}}}
    sheet = preview(checked(project, crop=crop, augmentation="none"), rows=2, seed=0)
    assert [group.title for group in sheet.groups] == ["original", "none", "none · random_crop"]
    assert [picture.shape for picture in sheet.rows[0].pictures] == [(16, 16, 3), (16, 16, 3), (12, 12, 3)]


def test_images_are_shown_after_their_preparation(project: Any) -> None:
    plain = preview(checked(project), rows=3, seed=0)
    prepared = preview(check_file(Path(project.config({"data.preprocess": "clahe"}))), rows=3, seed=0)
    assert (plain.groups[0].note, prepared.groups[0].note) == ("", "after clahe")
    assert any(not np.array_equal(a.pictures[0], b.pictures[0]) for a, b in zip(plain.rows, prepared.rows, strict=True))


def test_rows_are_of_each_class_in_turn_until_there_are_no_more() -> None:
    import pandas as pd

    task = get_task("multiclass").from_frame(pd.DataFrame({"label": ["a", "b", "b", "b", "c"]}), "label")
    targets = np.array([0, 1, 1, 1, 2])
    assert [int(targets[row]) for row in choose_rows(task, targets, 3, seed=0)] == [0, 1, 2]
    assert sorted(choose_rows(task, targets, 9, seed=0)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("side", "cell"), [(32, 128), (48, 144), (100, 100), (512, 128)])
def test_small_pictures_are_drawn_by_whole_pixels(side: int, cell: int) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    drawn = np.asarray(draw(Sheet("t", (ColumnGroup("original", "", ("",)),), (Row("a", "a.png", (picture,)),))))
    pixels = drawn[-24 - cell : -24, 194 : 194 + cell]
    if side <= cell:
        assert np.array_equal(pixels, picture.repeat(cell // side, axis=0).repeat(cell // side, axis=1))
    else:
        assert abs(float(pixels.mean()) - float(picture.mean())) < 2


def test_the_command_writes_a_png_and_checks_the_configuration(project: Any, foldtune: Command) -> None:
    path = project.config({"space.augmentation": AUGMENTATION})
    code, out, err = foldtune("preview", path, "--output", "look/preview.png", "--rows", "3")
    assert (code, out) == (0, "")
    assert "look/preview.png: 3 images, original, none, light, flip (" in err
    with Image.open("look/preview.png") as image:
        assert image.format == "PNG"
        assert image.width > 6 * 128
        assert image.height > 3 * 128
    assert not (project.folder / "cache").exists()
    code, _, err = foldtune("preview", project.config({"space.augmentation": "lihgt"}), "-o", "other.png")
    assert code == 2
    assert "did you mean 'light'?" in err
    assert not Path("other.png").exists()


def test_each_of_several_targets_has_its_part_of_the_sheet(project: Any, foldtune: Command) -> None:
    path = project.config({"space.augmentation": "flip"})
    assert foldtune("preview", path, "-o", "one.png", "--rows", "3")[0] == 0
    header, *lines = (project.folder / "train.csv").read_text().splitlines()
    both = [f"{header},other", *(f"{line},{line.split(',')[1]}" for line in lines)]
    (project.folder / "train.csv").write_text("\n".join(both) + "\n")
    config = yaml.safe_load(Path(path).read_text())
    del config["task"], config["data"]["target"]
    config["targets"] = {"label": "multiclass", "other": "multiclass"}
    code, _, err = foldtune("preview", project.text(yaml.safe_dump(config).encode()), "-o", "two.png", "--rows", "3")
    assert code == 0
    assert "two.png: 6 images, original, flip (" in err
    with Image.open("one.png") as one, Image.open("two.png") as two:
        assert two.height == 2 * one.height


def test_an_image_that_cannot_be_read_is_named_or_left_out(project: Any, foldtune: Command) -> None:
    name = project.rows[0][0]
    (project.folder / "images" / name).write_bytes(b"no image")
    code, _, err = foldtune("preview", project.config(), "-o", "p.png", "--rows", "24")
    assert code == 2
    assert name in err
    code, _, err = foldtune("preview", project.config({"data.on_broken": "skip"}), "-o", "p.png", "--rows", "24")
    assert code == 0
    assert "23 images" in err
