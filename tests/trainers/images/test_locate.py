"""Names of a table and the files that they stand for: extension, case, sub-folders, absolute paths, several files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.trainers.images.image_index import BELOW, CASE, INSIDE, STEM, Names
from foldtune.trainers.images.locate import ambiguous_images, locate, location_notes


def touch(images: Path, names: Iterable[str]) -> Path:
    for name in names:
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(b"")
    return images


@pytest.mark.parametrize(
    ("name", "file", "rule"),
    [
        ("a.png", "a.png", ""),
        ("10_left", "10_left.jpeg", STEM),
        ("007", "007.jpg", STEM),
        ("x.1", "x.1.png", STEM),
        ("B.jpg", "B.JPG", CASE),
        ("B", "B.JPG", STEM),
        ("b", "B.JPG", STEM),
        ("c.png", "part_1/c.png", BELOW),
        ("c", "part_1/c.png", f"{BELOW}, {STEM}"),
        ("deep/d", "part_2/deep/d.Tif", f"{BELOW}, {STEM}"),
        ("part_1/c", "part_1/c.png", STEM),
        ("images/a.png", "a.png", INSIDE),
        ("/elsewhere/images/part_1/c.png", "part_1/c.png", INSIDE),
        ("e.png", "linked/e.png", BELOW),
        ("part_1\\c.png", "part_1/c.png", "by a path of Windows"),
        ("same", "same.png", STEM),
    ],
)
def test_one_file_that_fits_is_found(tmp_path: Path, name: str, file: str, rule: str) -> None:
    files = ("a.png", "10_left.jpeg", "10_left.txt", "007.jpg", "x.1.png", "B.JPG", "part_1/c.png", "part_2/deep/d.Tif")
    images = touch(tmp_path / "images", [*files, ".hidden/c.png", "part_1/._c.png", "same.png"])
    touch(tmp_path / "other", ["e.png"])
    (images / "linked").symlink_to(tmp_path / "other")
    (images / "part_1" / "up").symlink_to(images)
    (images / "same.bmp").symlink_to("same.png")
    located = locate(images, [name])
    assert (located.missing, dict(located.ambiguous)) == ((), {})
    assert located.paths[0].samefile(images / file)
    assert located.rules == ({rule: (1, 0)} if rule else {})
    notes = location_notes(Path("t.csv"), images, located)
    assert [f"t.csv: 1 of 1 images are found {rule} (first: " in note for note in notes] == ([True] if rule else [])


@pytest.mark.parametrize("name", ["10", "/nowhere/a.png", "other/a.png", "../images/10", "a.jpg", "deep/c.png", "..a"])
def test_other_files_are_not_taken(tmp_path: Path, name: str) -> None:
    images = touch(tmp_path / "pictures", ["10_left.jpeg", "a.png", "part/c.png", "10.txt"])
    located = locate(images, [name])
    assert located.missing == (images / name,)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("a", ("a.jpg", "a.png")),
        ("c", ("one/c.png", "two/c.jpg")),
        ("c.png", ("one/c.png", "two/c.png")),
        ("b.png", ("B.png", "b.PNG")),
    ],
)
def test_two_files_of_a_name_are_refused_and_named(tmp_path: Path, name: str, files: tuple[str, str]) -> None:
    images = touch(tmp_path / "images", files)
    located = locate(images, [name, files[0]])
    assert list(located.ambiguous) == [name]
    assert located.paths[1] == images / files[0], "the whole name leaves no doubt"
    (problem,) = ambiguous_images(Path("t.csv"), images, located.ambiguous)
    assert all(str(images / file) in problem for file in files)


@given(st.lists(st.sampled_from(["a.png", "A.png", "a.PNG", "a.jpg", "b.c.png", "b.txt", "a"]), unique=True))
def test_the_nearest_spelling_is_first(files: list[str]) -> None:
    """By hand: exact, then any case, then the stem, then the stem in any case."""
    found = [set(places) for _, places in Names(files).find("a")]
    images = [file for file in files if "." in file and not file.endswith(".txt")]
    assert found[0] == found[1] & {"a"}
    assert found[2] == {file for file in images if file.rpartition(".")[0] == "a"}
    assert found[3] == {file for file in images if file.rpartition(".")[0].casefold() == "a"}
