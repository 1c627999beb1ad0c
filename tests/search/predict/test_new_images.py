"""Images of a folder: links, loops, hidden files, suffixes, and the count of what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from foldtune.errors import InputError
from foldtune.search.predict.new_images import find_images, sample_images
from foldtune.trainers.images.image_index import AGAIN, BROKEN, CLOSED, HIDDEN, OTHER


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 9)).save(path, None if path.suffix == ".png" else "JPEG")
    return path


def ids(folder: Path) -> list[str]:
    return list(find_images(folder, None, "image").ids)


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    image(tmp_path / "elsewhere" / "deeper" / "a.png")
    image(tmp_path / "new" / "b.png")
    (tmp_path / "new" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "new" / "c.png").symlink_to(tmp_path / "elsewhere" / "deeper" / "a.png")
    assert ids(tmp_path / "new") == ["b.png", "c.png", "linked/deeper/a.png"]


def test_a_link_that_leads_back_ends_the_walk(tmp_path: Path) -> None:
    image(tmp_path / "new" / "real" / "b.png")
    (tmp_path / "new" / "a_loop").symlink_to(tmp_path / "new")
    (tmp_path / "new" / "real" / "up").symlink_to(tmp_path / "new")
    (tmp_path / "new" / "a_second_name").symlink_to(tmp_path / "new" / "real")
    (tmp_path / "new" / "self").symlink_to(tmp_path / "new" / "self")
    found = find_images(tmp_path / "new", None, "image")
    assert list(found.ids) == ["real/b.png"]
    assert found.left_out == {AGAIN: 3, BROKEN: 1}


def test_links_in_linked_folders_are_followed_once(tmp_path: Path) -> None:
    for level in range(12):  # two links a level: 4,096 ways to the last one
        image(tmp_path / f"level{level}" / "a.png")
        for name in ("left", "right"):
            (tmp_path / f"level{level}" / name).symlink_to(tmp_path / f"level{level + 1}")
    image(tmp_path / "level12" / "a.png")
    assert len(ids(tmp_path / "level0")) == 13


def test_hidden_and_checkpoint_files_are_no_images(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", "._a.png", ".ipynb_checkpoints/a-checkpoint.png", ".git/x/y.png"):
        image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    found = find_images(tmp_path, None, "image")
    assert list(found.ids) == ["a.png"]
    assert found.left_out == {HIDDEN: 4, OTHER: 1}
    with pytest.raises(InputError, match=r"no images in it .*; 1 hidden or checkpoint files"):
        find_images(image(tmp_path / "alone" / ".a.png").parent, None, "image")


@pytest.mark.parametrize("name", ["a.jfif", "b.JPE", "c.JPEG", "d.pgm", "e.apng", "f.tiff", "g.j2k"])
def test_suffixes_are_those_that_training_reads(tmp_path: Path, name: str) -> None:
    image(tmp_path / name)
    assert ids(tmp_path) == [name]
    assert ids(tmp_path / name) == [name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    closed = image(tmp_path / "closed" / "b.png").parent
    closed.chmod(0)
    try:
        found = find_images(tmp_path, None, "image")
    finally:
        closed.chmod(0o700)
    assert (list(found.ids), found.left_out) == (["a.png"], {CLOSED: 1})


def test_a_name_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    image(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    found = find_images(tmp_path, None, "image")
    assert found.ids == ("\\xff.png",)
    assert found.paths[0].is_file()


@pytest.mark.parametrize("written", [" a.png", "a.png\u200b", "e\u0301.png", "\u00e9.png"])
def test_names_of_a_table_find_their_file_in_any_spelling(tmp_path: Path, written: str) -> None:
    for name in ("a.png", "e\u0301.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "new.csv").write_text(f"image\n{written}\n")
    for images in (find_images(tmp_path / "new.csv", None, "image"), sample_images(tmp_path / "new.csv", tmp_path)):
        assert images.ids == (written,), "as written, since the output is joined to the table"
        assert images.paths[0].is_file()


def test_integer_ids_of_a_sample_are_numbers_of_files(tmp_path: Path) -> None:
    for name in ("0007.png", "deep/img/012.png", "1.png", "01.png", "0003.png"):
        image(tmp_path / "new" / name)
    (tmp_path / "sample.csv").write_text("image,label\n7,a\n12,a\n0003,a\n")
    found = sample_images(tmp_path / "sample.csv", tmp_path / "new")
    assert found.ids == ("7", "12", "0003")
    assert [path.name for path in found.paths] == ["0007.png", "012.png", "0003.png"]
    (tmp_path / "sample.csv").write_text("image,label\n001,a\n")  # of two files neither
    with pytest.raises(InputError, match=r"1 of 1 images of .* are not there \(first: 001"):
        sample_images(tmp_path / "sample.csv", tmp_path / "new")


@pytest.mark.parametrize("name", ["pipe.png", "/dev/zero", "link.png"])
def test_a_device_or_a_pipe_is_no_image(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    (tmp_path / "new.csv").write_text(f"image\n{name}\n")
    with pytest.raises(InputError, match="a device or a pipe, not an image"):
        find_images(tmp_path / "new.csv", None, "image")
