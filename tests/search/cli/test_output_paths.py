"""Where a command is to write is checked before it works: a folder in the place of a file is bad input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune.errors import InputError, StorageDenied
from foldtune.paths import check_output

Command = Callable[..., tuple[int, str, str]]

FILES = {
    "preview": ["preview", "config.yaml", "-o"],
    "leaderboard": ["leaderboard", "tiny", "-o"],
    "ensemble": ["ensemble", "tiny", "-o"],
    "predict": ["predict", "tiny", "images", "-o"],
    "manifest": ["cluster", "manifest", "--kind", "kuberay", "--claim", "data", "-o"],
}
FOLDERS = {
    "digits": ["data", "digits"],
    "report": ["report", "tiny", "--no-timing", "-o"],
    "sweep": ["thresholds", "tiny", "--grid", "prior_power=0", "--submissions"],
    "drawings": ["predict", "tiny", "images", "-o", "p.csv", "--draw"],
    "promotion": ["promote", "tiny", "--to"],
    "rollback": ["promote", "--rollback"],
}


def refused(foldtune: Command, command: list[str], path: str) -> str:
    code, out, err = foldtune(*command, path)
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("command", FILES.values(), ids=FILES)
def test_a_folder_is_no_file(project: Any, foldtune: Command, command: list[str]) -> None:
    project.config()
    project.stored_run()
    assert "--output: images is a folder; name a file" in refused(foldtune, command, "images")
    assert "train.csv is a file, so nothing can lie in it" in refused(foldtune, command, "train.csv/out.csv")


@pytest.mark.parametrize("command", FOLDERS.values(), ids=FOLDERS)
def test_a_file_is_no_folder(project: Any, foldtune: Command, command: list[str]) -> None:
    project.stored_run()
    assert "train.csv is a file; name a folder" in refused(foldtune, command, "train.csv")
    assert "train.csv is a file, so nothing can lie in it" in refused(foldtune, command, "train.csv/out")


def test_what_cannot_be_written_is_named_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "new" / "deep" / "out.csv", is_folder=False, name="-o")
    check_output(tmp_path / "new" / "out", is_folder=True, name="-o")
    (tmp_path / "out.csv").write_text("old")
    check_output(tmp_path / "out.csv", is_folder=False, name="-o")
    with pytest.raises(InputError, match="too long"):
        check_output(tmp_path / ("a" * 300), is_folder=False, name="-o")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # the superuser may do all
    for name in ("out.csv", "other.csv", "new/out.csv"):
        with pytest.raises(StorageDenied, match=f"cannot write {tmp_path / name}: Permission denied"):
            check_output(tmp_path / name, is_folder=False, name="-o")


def test_folders_on_the_way_are_made(project: Any, foldtune: Command) -> None:
    project.stored_run()
    assert foldtune("leaderboard", "tiny", "-o", "new/deep/board.csv")[0] == 0
    assert Path("new/deep/board.csv").is_file()


@pytest.mark.parametrize("part", ["config.yaml", "task.json", "trials/0000/metrics.jsonl"])
@pytest.mark.parametrize("command", FILES.values(), ids=FILES)
def test_no_part_of_a_run_is_replaced(project: Any, foldtune: Command, command: list[str], part: str) -> None:
    project.config()
    project.stored_run()
    path = Path("runs/tiny") / part
    before = path.read_bytes()
    assert "belongs to the stored" in refused(foldtune, command, str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["report", "sweep", "drawings"])
def test_a_run_is_no_folder_for_other_files(project: Any, foldtune: Command, command: str) -> None:
    project.stored_run()
    assert "belongs to the stored" in refused(foldtune, FOLDERS[command], "runs/tiny")


@pytest.mark.parametrize(
    ("command", "file"),
    [("leaderboard", "train.csv"), ("ensemble", "train.csv"), ("preview", "train.csv"), ("preview", "config.yaml")],
)
def test_what_is_read_is_not_replaced(project: Any, foldtune: Command, command: str, file: str) -> None:
    project.config()
    project.stored_run()
    before = Path(file).read_bytes()
    assert "is read, and would be replaced" in refused(foldtune, FILES[command], file)
    assert Path(file).read_bytes() == before
