"""The folder of the promoted model: atomic exchange with dated backups, also if killed at any moment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import ModelForeign, ModelNotFound, RunBusy, StorageError
from foldtune.results.runs.model_dir import PROMOTION_FILE, ModelDir

STEPS = ((os, "rename"), (os, "replace"), (shutil, "copyfileobj"), (os, "fsync"), (shutil, "rmtree"))


def put(model: ModelDir, content: str) -> Path | None:
    """Put a model of one member with two folds, all of whose files hold `content`."""
    source = model.root.parent / f"weights_{content}"
    source.mkdir(exist_ok=True)
    weights = {}
    for fold in range(2):
        weights["r/0001", (fold, 0)] = source / f"{fold}"
        weights["r/0001", (fold, 0)].write_text(content)
    with model.lock():
        model.recover()
        return model.put({"content": content}, {"ids": np.array([content])}, weights, {"name": content})


def content(model: ModelDir) -> str:
    """Return the common content of the model's files."""
    oof = model.ensemble.read_oof()
    contents = {path.read_text() for path in model.root.glob("weights/r/0001/*.safetensors")}
    assert oof is not None
    contents |= {(model.ensemble.read() or {})["content"], str(oof["ids"][0]), model.promotion()["name"]}
    assert len(contents) == 1
    return contents.pop()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(("weights_", ".model.lock")))


def test_put_again_and_go_back(tmp_path: Path) -> None:
    model = ModelDir(tmp_path / "deep" / "model")
    model.root.parent.mkdir()
    model.root.mkdir()  # empty
    assert not model.exists()
    assert put(model, "a") is None
    assert model.exists()
    backups = [put(model, word) for word in "bc"]  # within a second, too
    assert content(model) == "c"
    assert model.backups() == backups[::-1]
    assert backups[1] is not None
    assert model.promotion()["replaced"] == backups[1].name
    for word, backup in zip("ba", backups[::-1], strict=True):
        with model.lock():
            back, withdrawn = model.rollback()
        assert (back, content(model)) == (backup, word)
        assert withdrawn is not None
        assert withdrawn.name.startswith("model.withdrawn-")
    with pytest.raises(ModelNotFound, match=r"model\.backup-\*"), model.lock():
        model.rollback()
    assert content(model) == "a"
    assert len(names(tmp_path / "deep")) == 3


def test_foreign_files_stay(tmp_path: Path) -> None:
    model = ModelDir(tmp_path / "model")
    model.root.mkdir()
    (model.root / "thesis.txt").write_text("years of work")
    foreign = tmp_path / "model.backup-20200101-000000"
    foreign.mkdir()
    stage = tmp_path / ".model.aaaa.new"
    stage.mkdir()
    (stage / "notes").write_text("mine")
    for action in (lambda: put(model, "a"), model.rollback):
        with pytest.raises(ModelForeign, match="name another folder"):
            action()
    shutil.rmtree(model.root)
    put(model, "a")
    with pytest.raises(ModelNotFound):
        model.rollback()
    assert (stage / "notes").read_text() == "mine"
    file = ModelDir(tmp_path / "file")
    file.root.write_text("text")
    with pytest.raises(ModelForeign):
        put(file, "a")


def test_a_failure_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelDir(tmp_path / "model")
    put(model, "a")
    before = names(tmp_path)
    real = os.rename

    def full(source: Any, target: Any) -> None:
        if Path(target) == model.root and ".new" in str(source):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(StorageError, match="No space"):
        put(model, "b")
    assert content(model) == "a"
    assert names(tmp_path) == before


def test_one_exchange_at_a_time(tmp_path: Path) -> None:
    model = ModelDir(tmp_path / "model")
    with model.lock(), pytest.raises(RunBusy, match="another process"), ModelDir(tmp_path / "model").lock():
        pass


def test_a_removed_model_does_not_come_back_by_itself(tmp_path: Path) -> None:
    model = ModelDir(tmp_path / "model")
    put(model, "a")
    put(model, "b")
    shutil.rmtree(model.root)
    with model.lock():
        assert model.recover() is None
    assert not model.root.exists()


@pytest.mark.parametrize("action", [pytest.param("put", marks=pytest.mark.slow), "rollback"])
def test_after_a_kill_at_any_step_the_model_is_old_or_new_or_one_rollback_away(tmp_path: Path, action: str) -> None:
    step = 0
    while True:
        step += 1
        folder = tmp_path / str(step)
        folder.mkdir()
        model = ModelDir(folder / "model")
        for word in "ab":
            put(model, word)
        if _killed_at(step, model, action) == 0:
            break
        found = "nothing"
        if model.root.exists():
            found = content(model)
            assert found in (("b", "c") if action == "put" else ("a", "b"))
        again = ModelDir(folder / "model")
        if found == "nothing":
            with again.lock():
                again.rollback()
            assert content(again) == ("b" if action == "put" else "a")
        put(again, "d")
        assert content(again) == "d"
        assert not [name for name in names(folder) if name.endswith(".new")]
        kept = [content(ModelDir(path)) for path in again.backups()]
        assert kept[-1] == "a" or action == "rollback"
    assert step > (8 if action == "put" else 2)  # there were so many to be killed at
    assert content(model) == ("c" if action == "put" else "a")


def test_a_killed_exchange_is_undone_by_the_next(tmp_path: Path) -> None:
    model = ModelDir(tmp_path / "model")
    put(model, "a")
    left = tmp_path / ".model.aaaa.new"
    shutil.copytree(model.root, left)
    os.rename(model.root, tmp_path / "model.backup-20200101-000000")
    with model.lock():
        halfway = model.recover()
    assert halfway is not None
    assert content(model) == "a"
    assert not left.exists()
    assert (model.root / PROMOTION_FILE).is_file()


def _killed_at(step: int, model: ModelDir, action: str) -> int:
    """Run the action in a process that exits before its `step`-th step; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = [step]

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os._exit(9)
            return real(*arguments, **keywords)

        return call

    code = 1
    try:
        for module, name in STEPS:
            setattr(module, name, counted(getattr(module, name)))
        if action == "put":
            put(model, "c")
        else:
            with model.lock():
                model.rollback()
        code = 0
    finally:
        os._exit(code)
