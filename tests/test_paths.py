"""Names that lead out of the folder they are joined to, for reading and for writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldtune.errors import InputError, RunCorrupt
from foldtune.paths import is_inside, join_stored, join_to_write, leads_out, output_names


def test_names_that_lead_out(tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    (images / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    inside = ["a.png", "sub/../a.png", f"{images}/a.png", "linked.png", "a..b.png"]
    assert not any(leads_out(name) and not is_inside(images / name, images) for name in inside)
    (images / "out").symlink_to(tmp_path)
    outside = ["/etc/passwd", "../a.png", "sub/../../a.png", f"{images}/../b.png", f"{images}/out/a.png"]
    assert all(leads_out(name) and not is_inside(images / name, images) for name in outside)


def test_what_is_written_stays_inside(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    assert join_to_write(folder, "new/a.png") == folder / "new/a.png"
    for name in ("../a.png", "/a.png", "out/a.png", "out/deeper/a.png"):
        with pytest.raises(InputError, match="nothing is written outside of it"):
            join_to_write(folder, name)


@pytest.mark.parametrize("member", ["../../other", "/etc", "linked"])
def test_what_a_stored_model_names_stays_inside(tmp_path: Path, member: str) -> None:
    root = tmp_path / "model"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    assert join_stored(root, "weights", "0001") == root / "weights/0001"
    with pytest.raises(RunCorrupt, match="leads out of"):
        join_stored(root, member, "fold_0.safetensors")


def test_a_folder_behind_a_link_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "disk/model/weights").mkdir(parents=True)
    (tmp_path / "model").symlink_to(tmp_path / "disk/model")
    assert join_stored(tmp_path / "model", "weights", "a").parent.is_dir()


def test_every_output_has_a_name_of_its_own() -> None:
    names = ["a.png", "a.jpg", "../a.png", "/x/a.png", "b/", "..", "/"]
    found = output_names(names, ".png")
    assert len(set(found.values())) == len(names)
    assert all(".." not in path.parts and not path.is_absolute() for path in found.values())
