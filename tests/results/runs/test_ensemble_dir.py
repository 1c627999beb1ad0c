"""The folder of an ensemble: atomic exchange, bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.files import names_in, write_bytes_atomic
from foldtune.results.storage.paths import StorePath

ON_A_DISK = pytest.mark.parametrize("storage", ["folder"], indirect=True)


@pytest.fixture
def ensemble(storage: StorePath) -> EnsembleDir:
    """Return an ensemble with everything in it, version 1."""
    ensemble = EnsembleDir(storage / "ensemble")
    with ensemble.replacing() as stage:
        fill(stage, 1)
    return ensemble


def fill(stage: EnsembleDir, version: int) -> None:
    stage.write_oof({"scores": np.full(2, version)})
    stage.write_test({"scores": np.full(3, version)})
    write_bytes_atomic(stage.submission_path, f"{version}\n".encode())
    stage.write({"version": version})


def versions(ensemble: EnsembleDir) -> list[int]:
    oof, test, description = ensemble.read_oof(), ensemble.read_test(), ensemble.read()
    assert oof is not None
    assert test is not None
    assert description is not None
    return [
        int(oof["scores"][0]),
        int(test["scores"][0]),
        int(ensemble.submission_path.read_text()),
        description["version"],
    ]


def names(folder: StorePath) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path)[len(str(folder)) :].strip("/") for path in found)


def test_all_files_are_exchanged_together(ensemble: EnsembleDir) -> None:
    assert versions(ensemble) == [1, 1, 1, 1]
    with ensemble.replacing() as stage:
        fill(stage, 2)
        assert versions(ensemble) == [1, 1, 1, 1]
    assert versions(ensemble) == [2, 2, 2, 2]
    assert names(ensemble.root) == ["ensemble.json", "oof.npz", "submission.csv", "test.npz"]


def test_a_failure_leaves_the_old_ensemble(ensemble: EnsembleDir) -> None:
    def exchange() -> None:
        with ensemble.replacing() as stage:
            fill(stage, 2)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        exchange()
    assert versions(ensemble) == [1, 1, 1, 1]
    assert names(ensemble.root) == ["ensemble.json", "oof.npz", "submission.csv", "test.npz"]


def test_old_files_that_a_new_ensemble_lacks_are_removed(ensemble: EnsembleDir) -> None:
    with ensemble.replacing() as stage:
        stage.write_oof({"scores": np.full(2, 2)})
        stage.write({"version": 2})
    assert names(ensemble.root) == ["ensemble.json", "oof.npz"]


@ON_A_DISK
def test_a_kill_in_the_exchange_leaves_no_mixture(ensemble: EnsembleDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any of the renames, ensemble.json is absent or beside files of its own version."""
    for survived in range(4):
        with killed_after(survived, monkeypatch) as died:
            try:
                with ensemble.replacing() as stage:
                    fill(stage, 7)
            except KeyboardInterrupt:
                died.append(survived)
        assert died, "the exchange has at least four renames"
        assert not ensemble.exists()
    with ensemble.replacing() as stage:
        fill(stage, 8)
    assert versions(ensemble) == [8, 8, 8, 8]


@contextmanager
def killed_after(renames: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Stop the exchange after the given number of renames, as a signal would."""
    import os

    real, left = os.replace, renames

    def replace(source: Path, target: Path) -> None:
        nonlocal left
        if Path(source).parent.name == ".next" != Path(target).parent.name:
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("foldtune.results.storage.disk.os.replace", replace)
        yield []


def test_a_left_over_staging_folder_is_ignored(ensemble: EnsembleDir) -> None:
    EnsembleDir(ensemble.root / ".next").write_test({"scores": np.full(3, 9)})
    with ensemble.replacing() as stage:
        stage.write({"version": 2})
    assert names(ensemble.root) == ["ensemble.json"]


@ON_A_DISK
def test_only_the_fold_models_of_some_trials_are_kept(ensemble: EnsembleDir) -> None:
    for trial_id in ("a", "b", "c"):
        for fold in (0, 1):
            weights = ensemble.weights_path(trial_id, fold)
            weights.parent.mkdir(parents=True, exist_ok=True)
            weights.write_bytes(b"weights")
            weights.with_name(f".{weights.name}.x1").write_bytes(b"torn")
            ensemble.member(trial_id, fold).finish({"value": 1.0})
    ensemble.keep(["a", "c"])
    stored = {name for name in names(ensemble.root) if "/" in name}
    assert stored == {
        name
        for trial_id in ("a", "c")
        for fold in (0, 1)
        for name in (f"members/{trial_id}/fold_{fold}/done.json", f"weights/{trial_id}/fold_{fold}.safetensors")
    }
    assert versions(ensemble) == [1, 1, 1, 1]


def test_scores_of_eliminated_members_are_kept(ensemble: EnsembleDir) -> None:
    for member in ("a", "b", "other/a", "other/b", "gone/a"):
        write_bytes_atomic(ensemble.weights_path(member, 0), b"weights")
        ensemble.member(member, 0).finish({"value": 1.0})
    ensemble.keep(["a", "other/a"], ["other/b"])
    assert {name for name in names(ensemble.root) if "/" in name} == {
        "members/a/fold_0/done.json",
        "members/other/a/fold_0/done.json",
        "members/other/b/fold_0/done.json",
        "weights/a/fold_0.safetensors",
        "weights/other/a/fold_0.safetensors",
    }
    if isinstance(ensemble.root, Path):  # elsewhere a folder is but a part of names
        assert not (ensemble.root / "members/gone").exists()


def test_scores_under_other_augmentation_are_kept_apart_and_removed_with_the_result(ensemble: EnsembleDir) -> None:
    fold, ids = ensemble.member("a", 0), np.array(["x", "y"])
    assert fold.with_tta(None) is fold
    for place, each in enumerate((fold, fold.with_tta("hflip"), fold.with_tta("flips"))):
        assert each.read_scores() is None
        each.write_scores(ids, np.full((2, 2), place), None, 1)
        each.write_test_logits(ids, np.full((2, 2), place))
    fold.finish({"value": 0.5})
    fold.checkpoint_path.write_bytes(b"checkpoint")
    for place, each in enumerate((fold, fold.with_tta("hflip"), fold.with_tta("flips"))):
        scores, test = each.read_scores(), each.read_test_logits(ids)
        assert scores is not None
        assert test is not None
        assert (scores.logits == place).all()
        assert (test == place).all()
    fold.clear()
    assert names_in(fold.root) == ["checkpoint.pt"]


def test_finishing_a_fold_removes_its_error(ensemble: EnsembleDir) -> None:
    fold = ensemble.member("a", 0)
    fold.write_error("Traceback")
    fold.finish({"value": 0.5})
    assert fold.result() == {"value": 0.5}
    assert not fold.error_path.exists()


def test_test_logits_need_exactly_these_rows(ensemble: EnsembleDir) -> None:
    fold, ids = ensemble.member("a", 0), np.array(["x", "y"])
    assert fold.read_test_logits(ids) is None
    fold.write_test_logits(ids, np.eye(2))
    np.testing.assert_array_equal(fold.read_test_logits(ids), np.eye(2))
    assert fold.read_test_logits(ids[::-1]) is None
