"""Whole writes: whole after a cut at every step, durable in their order, and nothing torn stays."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from foldtune.files import (
    is_temporary,
    read_regular,
    scratch_folder,
    sweep,
    sweep_scratch,
    temporary_beside,
    whole_file,
)
from tests.power import Disk


@pytest.mark.parametrize(
    "name",
    [
        ".scores.npz.0123456789ab.tmp",
        ".weights.safetensors.a1b2c3d_",  # as version 0.2 wrote it
        ".checkpoint.pt.abcdefgh",
        ".fold_12.safetensors.abcdefgh",
        ".fold_0.safetensors.part",
    ],
)
def test_names_of_temporary_files_of_every_version_are_known(name: str) -> None:
    assert is_temporary(name)


def test_a_new_temporary_name_is_known() -> None:
    assert is_temporary(temporary_beside(Path("scores.npz")).name)


@pytest.mark.parametrize("name", [".lock", ".next", "scores.npz", "weights.safetensors", ".config.yaml", "a.tmp"])
def test_other_names_are_not_temporary(name: str) -> None:
    assert not is_temporary(name)


def test_a_sweep_removes_what_killed_writers_left_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "0001"
    folder.mkdir(parents=True)
    torn, fresh, kept = temporary_beside(folder / "a"), temporary_beside(folder / "b"), folder / "a"
    for path in (torn, fresh, kept):
        path.write_bytes(b"1234")
    os.utime(torn, (time.time() - 60,) * 2)
    assert sweep(tmp_path) == 4
    assert sorted(folder.iterdir()) == sorted([fresh, kept])


def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "new" / "weights.safetensors") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "weights.safetensors").stat().st_mode) == 0o640


def test_a_write_cut_anywhere_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    path = root / "run" / "trials" / "config.json"
    disk = Disk(root, monkeypatch)

    def write(content: bytes) -> None:
        with whole_file(path) as file:
            file.write(content)

    for old in (b"old", None):
        for ended in disk.cuts(lambda: write(b"new"), (lambda: write(b"old")) if old else (lambda: None)):
            found = path.read_bytes() if path.exists() else None
            assert found == b"new" if ended else found in (old, b"new")
    assert [name for name, _ in disk.trace if name in ("fsync", "replace")] == ["fsync"] * 3 + ["replace", "fsync"]


def test_scratch_folders_of_killed_processes_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, fresh, old, foreign = (tmp_path / f"foldtune-{name}" for name in ("tune-a", "pool-b", "upload-c", "r-d"))
    for folder in (dead, fresh, old, foreign):
        folder.mkdir()
    (dead / ".lock").touch()
    for folder in (old, foreign):
        os.utime(folder, (0, 0))
    with scratch_folder("predict") as live:
        sweep_scratch()
        assert sorted(tmp_path.iterdir()) == sorted([fresh, foreign, live])
    assert not live.exists()


@pytest.mark.parametrize("endless", ["pipe", "/dev/zero"])
def test_what_never_ends_is_no_stored_file(tmp_path: Path, endless: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device or a pipe, not a file"):
        read_regular(tmp_path / endless)
