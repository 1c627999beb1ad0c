"""Pieces of a fold's training that need no Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.dataset import ImagePlan
from search.foldmodel import Unlabelled, link_whole
from trainers.data.table import Table


def test_linked_weights_outlive_the_first_name(tmp_path: Path) -> None:
    source, target = tmp_path / "weights.safetensors", tmp_path / "a" / "b" / "fold_0.safetensors"
    source.write_bytes(b"1")
    link_whole(source, target)
    link_whole(source, target)  # as after a kill: the same file under the same name
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    source.unlink()
    assert target.read_bytes() == b"1"


def test_where_links_cannot_be_it_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError("cross-device link")

    source, target = tmp_path / "weights.safetensors", tmp_path / "fold_0.safetensors"
    source.write_bytes(b"1")
    target.write_bytes(b"older")
    monkeypatch.setattr("os.link", refuse)
    link_whole(source, target)
    assert target.read_bytes() == b"1"
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, source.name]


def test_unreadable_rows_get_the_mean_of_the_others() -> None:
    ids = np.array(["a", "b", "c"])
    table = Table(ids[[0, 2]], (Path("a"), Path("c")))
    test = Unlabelled(table, ImagePlan((8, 8), "squash", None, 1, "skip"), ids, np.array([True, False, True]))
    full = test.complete(np.array([[0.2, 0.8], [0.6, 0.4]]))
    np.testing.assert_allclose(full, [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])
