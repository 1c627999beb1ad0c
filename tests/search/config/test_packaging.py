"""A configuration that is sent to a cluster means there what it means here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from foldtune.search.config.loading import check
from foldtune.search.config.packaging import (
    JOB_ADDRESS,
    JOB_ID,
    RESUME_COMMAND,
    job_environment,
    leave_job_folder,
    new_job_id,
    pack_job,
    search_arguments,
    this_driver,
)


def packed(project: Any, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    path = Path(project.config(changes))
    return dict(pack_job(yaml.safe_load(path.read_text()), path.parent).config)


@pytest.mark.parametrize("changes", [{}, {"data.root": "..", "data.train": "x/train.csv"}, {"data.root": "/data"}])
def test_every_path_leads_to_the_same_file_from_anywhere(project: Any, changes: dict[str, Any], tmp_path: Path) -> None:
    here = check(yaml.safe_load(Path(project.config(changes)).read_text()), project.folder)
    there = check(packed(project, changes), tmp_path / "elsewhere")
    assert there.data == here.data
    assert there.storage == str(Path(here.storage).absolute())


def test_what_is_no_path_is_unchanged(project: Any) -> None:
    config = packed(project, {"storage": "s3://bucket/runs", "data.cache": "off", "search.num_samples": 3})
    assert (config["storage"], config["data"]["cache"]) == ("s3://bucket/runs", "off")
    own = packed(project, {"data.cache": "cache", "search.study_storage": "sqlite:///study.db"})
    assert own["data"]["cache"] == str(project.folder / "cache")
    assert own["search"]["study_storage"] == f"sqlite:///{project.folder}/study.db"


def test_targets_keep_the_roots_of_their_own(project: Any) -> None:
    raw = {
        "name": "g",
        "data": {"train": "t.csv"},
        "targets": {"a": "binary", "b": {"task": "binary", "data": {"root": "sub"}}, "c": {"data": {"id": "x"}}},
    }
    config = pack_job(raw, project.folder).config
    assert config["data"]["root"] == str(project.folder)
    assert config["targets"]["b"]["data"]["root"] == str(project.folder / "sub")
    assert "root" not in config["targets"]["c"]["data"]
    assert "root" not in raw["data"], "what was given is not changed"


def test_a_job_finds_its_own_id(monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = new_job_id("skin lesions")
    assert job_id.startswith("foldtune-skin_lesions-")
    assert new_job_id("skin lesions") != job_id
    variables = job_environment("foldtune search a.yaml --resume", job_id, "http://head:8265")
    assert variables[RESUME_COMMAND] == "foldtune search a.yaml --resume"
    for name in (JOB_ID, JOB_ADDRESS):
        monkeypatch.setenv(name, variables[name])
    assert (this_driver().job_id, this_driver().job_address) == (job_id, "http://head:8265")
    assert this_driver().process() is not None
    assert not {JOB_ID, JOB_ADDRESS} & job_environment("again").keys()


def test_a_sent_command_does_not_stay_where_its_folder_may_be_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert leave_job_folder(Path("config.yaml")) == Path("config.yaml"), "this process is no job"
    assert Path.cwd() == tmp_path
    monkeypatch.setenv(JOB_ID, "foldtune-skin-1")
    assert leave_job_folder(Path("config.yaml")) == tmp_path / "config.yaml"
    assert Path.cwd() != tmp_path


def test_trials_are_added_only_where_the_search_is_resumed() -> None:
    assert list(search_arguments("c.yaml", resume=False, further_trials=9)) == ["search", "c.yaml", "--address", "auto"]
    assert list(search_arguments("c.yaml", resume=True, further_trials=9))[4:] == ["--resume", "--trials", "9"]


def test_earlier_runs_are_named_as_the_cluster_reaches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is one under the storage; a folder of this machine, which every node mounts, has its absolute path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/old").mkdir(parents=True)
    sent = search_arguments("config.yaml", resume=False, further_trials=None, from_runs=("skin", "runs/old"))
    assert sent[2:] == ["--address", "auto", "--from", "skin", "--from", str(tmp_path / "runs/old")]
