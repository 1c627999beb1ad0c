"""Digests of image files: read once, read again where size or time changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foldtune.trainers.data import contents
from foldtune.trainers.data.contents import ABSENT, read_contents


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(found):
        path.write_bytes(bytes([number]) * 10)
    return found


def test_equal_contents_have_equal_digests(paths: list[Path]) -> None:
    paths[1].write_bytes(paths[0].read_bytes())
    first, second, third = read_contents(paths).digests.tolist()
    assert first == second != third
    assert len(first) == 32


def test_a_file_that_is_gone_has_no_digest(paths: list[Path]) -> None:
    paths[1].unlink()
    found = read_contents(paths)
    assert found.digests[1] == ""
    assert found.sizes[1] == ABSENT
    assert found.digests[0]


def test_only_what_changed_is_read_again(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_contents(paths)
    columns = (before.sizes.tolist(), before.times_ns.tolist(), before.digests.tolist())
    known = dict(enumerate(zip(*columns, strict=True)))
    os.utime(paths[2], ns=(0, 1))
    read: list[Path] = []
    digest = contents._digest
    monkeypatch.setattr(contents, "_digest", lambda path: read.append(path) or digest(path))
    assert read_contents(paths, known=known).digests.tolist() == before.digests.tolist()
    assert read == [paths[2]]


def test_an_image_cache_keeps_the_digests(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memo = tmp_path / "cache"
    memo.mkdir()
    before = read_contents(paths, memo=memo)
    monkeypatch.setattr(contents, "_digest", lambda path: pytest.fail("read again"))
    assert read_contents(paths, memo=memo).digests.tolist() == before.digests.tolist()


def test_damaged_digests_of_an_image_cache_are_read_again(paths: list[Path], tmp_path: Path) -> None:
    memo = tmp_path / "cache"
    memo.mkdir()
    before = read_contents(paths, memo=memo)
    (memo / contents.MEMO).write_text("1,x\n")
    assert read_contents(paths, memo=memo).digests.tolist() == before.digests.tolist()
