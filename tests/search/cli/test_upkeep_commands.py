"""`foldtune runs archive|rm|note` and `foldtune cache`: what is shown, removed, and protected."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune.files import scratch_folder
from foldtune.results.runs.model_dir import PROMOTED, ModelDir
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import write_json
from foldtune.trainers.images.cache import prepare_images
from foldtune.trainers.images.preprocess import ImagePreprocessing

Command = Callable[..., tuple[int, str, str]]


def shown(foldtune: Command) -> dict[str, Any]:
    code, out, _ = foldtune("runs", "--format", "json")
    assert code == 0
    return {run["name"]: run for run in json.loads(out)}


def test_runs_alone_lists_them_with_sizes_and_notes(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    store.trial("0001").weights_path.write_bytes(bytes(3_000_000))
    assert foldtune("runs", "note", "tiny", "the one  with\nlarger images")[0] == 0
    run = shown(foldtune)["tiny"]
    assert 3.0 < run["size_mb"] < 3.5
    assert run["note"] == "the one with larger images"
    code, out, _ = foldtune("runs")
    assert code == 0
    assert "larger images" in " ".join(out.split())
    foldtune("runs", "note", "tiny", "")
    assert shown(foldtune)["tiny"]["note"] is None


def test_an_archived_run_comes_back_whole(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    before = {path.relative_to(store.root): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    code, _, err = foldtune("runs", "archive", "tiny")
    assert (code, store.root.exists()) == (0, False)
    assert "archived" in err
    with tarfile.open(project.folder / "runs/archive/tiny.tar") as archive:
        archive.extractall(project.folder / "runs", filter="data")
    after = {path.relative_to(store.root): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    assert {path: content for path, content in before.items() if path.name != ".lock"} == after
    assert foldtune("runs", "archive", "tiny")[0] == 2, "an archive of that name is there"
    assert list(shown(foldtune)) == ["tiny"]


def test_a_removed_run_is_gone_and_others_stay(project: Any, foldtune: Command) -> None:
    project.stored_run("other")
    store = project.stored_run()
    code, _, err = foldtune("runs", "rm", "tiny")
    assert (code, store.root.exists()) == (0, False)
    assert "MB" in err
    assert list(shown(foldtune)) == ["other"]
    code, _, err = foldtune("runs", "rm", "othr")
    assert code == 2
    assert "other" in err


@pytest.mark.parametrize("name", ["../images", "/etc", "."])
def test_only_runs_of_the_storage_are_removed(project: Any, foldtune: Command, name: str) -> None:
    project.stored_run()
    assert foldtune("runs", "rm", name)[0] == 2
    assert (project.folder / "images").is_dir()


def votes_elsewhere(project: Any, store: RunStore) -> None:
    other = project.stored_run("other")
    other.ensemble.write({"runs": ["other", store.name]})


def promoted(project: Any, store: RunStore) -> None:
    store.ensemble.write({"runs": [store.name]})
    model = ModelDir(project.folder / "models" / "tiny")
    source = str(store.ensemble.root.resolve())
    with model.lock():
        model.put({"members": []}, {}, {}, {"from": source})
    assert json.loads((store.ensemble.root / PROMOTED).read_text()) == {"models": [str(model.root)]}


def of_targets(project: Any, store: RunStore) -> None:
    write_json(project.folder / "runs" / "several" / "group.json", {"runs": {"label": store.name}})


@pytest.mark.parametrize("use", [votes_elsewhere, promoted, of_targets])
@pytest.mark.parametrize("command", ["rm", "archive"])
def test_a_run_in_use_is_protected(
    project: Any, foldtune: Command, use: Callable[[Any, RunStore], None], command: str
) -> None:
    store = project.stored_run()
    use(project, store)
    code, _, err = foldtune("runs", command, "tiny")
    assert code == 2
    assert "run 'tiny' stays" in " ".join(err.split())
    assert store.config_path.exists()


def test_a_run_whose_model_was_replaced_may_go(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    promoted(project, store)
    model = ModelDir(project.folder / "models" / "tiny")
    with model.lock():
        model.put({"members": []}, {}, {}, {"from": str(project.folder / "elsewhere")})
    assert foldtune("runs", "rm", "tiny")[0] == 0


def test_a_run_that_is_searched_is_not_removed(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    with store.lock():
        assert foldtune("runs", "rm", "tiny")[0] == 1
    assert store.config_path.exists()


def test_the_cache_is_listed_and_cleared(
    project: Any, foldtune: Command, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("tmp")))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    images = [project.folder / "images" / name for name, _ in project.rows]
    old, used = (
        prepare_images(images, ImagePreprocessing((side, side)), cache_dir=project.folder / "cache").folder
        for side in (8, 16)
    )
    assert old is not None
    assert used is not None
    torn = used.with_name(f"{used.name}.part-abc")
    torn.mkdir()
    (torn / "images.npy").write_bytes(bytes(100))
    os.utime(old, (0, 0))
    mine = project.folder / "cache" / "mine"
    mine.mkdir()
    with scratch_folder("predict") as scratch:
        code, out, _ = foldtune("cache", "--format", "json")
        kinds = {Path(each["path"]): each["kind"] for each in json.loads(out)}
        assert kinds == {old: "images", used: "images", torn: "torn cache", scratch: "scratch"}
        assert foldtune("cache")[0] == code == 0
        code, _, err = foldtune("cache", "clear")
        assert code == 0
        assert "2 image caches, 0 scratch folders, 0 Ray sessions removed" in " ".join(err.split())
        assert [path.exists() for path in (old, used, torn, mine, scratch)] == [False, True, False, True, True]
    foldtune("cache", "clear", "--older-than", "0")
    assert (used.exists(), mine.exists()) == (False, True)
    assert json.loads(foldtune("cache", "--format", "json")[1]) == []


def test_a_cache_that_is_used_is_not_old(project: Any, foldtune: Command) -> None:
    images = [project.folder / "images" / name for name, _ in project.rows]
    folder = prepare_images(images, ImagePreprocessing((8, 8)), cache_dir=project.folder / "cache").folder
    assert folder is not None
    os.utime(folder, (0, 0))
    prepare_images(images, ImagePreprocessing((8, 8)), cache_dir=project.folder / "cache")
    foldtune("cache", "clear")
    assert folder.exists()
