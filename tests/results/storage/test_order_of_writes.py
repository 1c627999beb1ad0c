"""Appended lines, copies and markers after a cut at every operation of the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.files import append_line, copy_whole, move_file, read_json, read_jsonl, write_bytes_atomic
from tests.power import Disk


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "disk").mkdir()
    return Disk(tmp_path / "disk", monkeypatch)


def test_lines_are_whole_and_what_was_appended_before_stays(disk: Disk) -> None:
    path = disk.root / "trials" / "0001" / "metrics.jsonl"
    append = lambda number: append_line(path, f'{{"epoch": {number}}}')  # noqa: E731
    for start in (0, 1):
        for ended in disk.cuts(lambda start=start: append(start + 1), lambda start=start: start and append(1)):
            epochs = [row["epoch"] for row in read_jsonl(path)]
            assert epochs[:start] == [1][:start]
            assert len(epochs) == start + 1 if ended else len(epochs) in (start, start + 1)


def test_a_copy_is_whole_and_stays(disk: Disk) -> None:
    source, target = disk.root / "trials" / "weights", disk.root / "ensemble" / "weights" / "fold_0"
    for ended in disk.cuts(lambda: copy_whole(source, target), lambda: write_bytes_atomic(source, b"weights")):
        assert source.read_bytes() == b"weights"
        assert target.read_bytes() == b"weights" if ended else not target.exists() or target.read_bytes() == b"weights"


def test_a_moved_file_is_at_one_of_its_places(disk: Disk) -> None:
    source, target = disk.root / ".next" / "oof.npz", disk.root / "oof.npz"
    for ended in disk.cuts(lambda: move_file(source, target), lambda: write_bytes_atomic(source, b"scores")):
        assert target.exists() or not ended
        assert {path.read_bytes() for path in (source, target) if path.exists()} == {b"scores"}


@pytest.mark.slow
def test_an_ensemble_exchanged_for_another_is_whole_or_absent(disk: Disk) -> None:
    ensemble = EnsembleDir(disk.root / "ensemble")

    def write(value: float) -> None:
        with ensemble.replacing() as stage:
            for save in (stage.write_oof, stage.write_test):
                save({"ids": np.array(["a"]), "scores": np.array([value])})
            stage.write({"value": value})

    for ended in disk.cuts(lambda: write(2.0), lambda: write(1.0)):
        description = ensemble.read()
        assert description is not None or not ended
        if description is not None:
            for arrays in (ensemble.read_oof(), ensemble.read_test()):
                assert arrays is not None
                assert arrays["scores"].tolist() == [description["value"]]


def test_a_cleared_fold_model_has_no_marker_without_scores(disk: Disk) -> None:
    fold = EnsembleDir(disk.root / "ensemble").member("0001", 0)

    def prepare() -> None:
        fold.write_scores(np.array(["a"]), np.zeros((1, 2), dtype=np.float32), None, 1)
        fold.finish({"value": 1.0})

    for ended in disk.cuts(fold.clear, prepare):
        assert not ended or not fold.done_path.exists()
        assert fold.scores_path.exists() or read_json(fold.done_path) is None
