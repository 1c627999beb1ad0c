"""A run on disk from its start to its resumption: locks, what may change, and rows that must not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from foldtune.errors import InputError, RunBusy, RunExists, RunNotFound
from foldtune.search.cli.handlers.search.search import SearchRequest
from foldtune.search.config.loading import load_config
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.resuming import extend
from foldtune.search.runs.run import Run, new_store, open_run, reopen_labelled, start_run
from foldtune.search.runs.validation import check_run

Started = tuple[Run, Labelled]


def start(project: Any, changes: Mapping[str, Any] | None = None) -> Started:
    checked = check_run(load_config(Path(project.config(changes))))
    with new_store(checked.config) as store:
        return start_run(checked, store, 1, None)


def given(project: Any, changes: Mapping[str, Any] | None = None) -> Any:
    return load_config(Path(project.config(changes)))


def test_a_run_opens_again_with_the_same_rows_in_the_same_folds(project: Any) -> None:
    run, labelled = start(project)
    again = open_run("tiny", "runs")
    assert again.config == run.config
    assert (again.task, again.goal) == (run.task, run.goal)
    reopened = reopen_labelled(again, 1, None)
    assert np.array_equal(reopened.folds, labelled.folds)
    assert np.array_equal(reopened.table.ids, labelled.table.ids)
    assert np.array_equal(reopened.table.targets, labelled.table.targets)


def test_rows_that_moved_or_were_added_do_not_change_the_folds(project: Any) -> None:
    _, labelled = start(project)
    project.table([*project.rows[::-1][:-2], *project.rows[:2]], "train.csv")
    reopened = reopen_labelled(open_run("tiny", "runs"), 1, None)
    assert np.array_equal(reopened.table.ids, labelled.table.ids)
    assert np.array_equal(reopened.folds, labelled.folds)


def test_a_row_that_is_gone_is_named(project: Any) -> None:
    start(project)
    project.table(project.rows[1:], "train.csv")
    with pytest.raises(InputError, match=project.rows[0][0]):
        reopen_labelled(open_run("tiny", "runs"), 1, None)


def test_the_resolved_configuration_is_stored(project: Any) -> None:
    run, _ = start(project, {"space": {"preset": "quick"}, "search.metric": None, "search.max_epochs": 3})
    stored = yaml.safe_load(run.store.config_path.read_text())
    assert stored["search"]["metric"] == run.goal.metric
    assert "preset" not in stored["space"]


def test_a_name_is_taken_once(project: Any) -> None:
    start(project)
    with pytest.raises(RunExists, match="--resume"):
        start(project)


def test_two_starts_of_one_name_do_not_mix(project: Any) -> None:
    checked = check_run(given(project))
    holder = (
        "import sys; from filelock import FileLock; "
        "lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    )
    (project.folder / "runs/tiny").mkdir(parents=True)
    lock = str(project.folder / "runs/tiny/.lock")
    with subprocess.Popen(
        [sys.executable, "-c", holder, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunBusy, match="another process"), new_store(checked.config):
            pass
        other.communicate("\n")
    with new_store(checked.config) as store:
        start_run(checked, store, 1, None)


def test_a_refused_start_leaves_no_folder(project: Any) -> None:
    (project.folder / "images" / project.rows[3][0]).write_bytes(b"")
    with pytest.raises(InputError, match=project.rows[3][0]):
        start(project)
    assert not (project.folder / "runs").exists()
    (project.folder / "runs" / "tiny").mkdir(parents=True)
    with pytest.raises(InputError):
        start(project)
    assert list((project.folder / "runs").rglob("*")) == [project.folder / "runs" / "tiny"], "it was there before"


def test_a_run_that_does_not_exist_names_the_near_ones(project: Any) -> None:
    start(project)
    with pytest.raises(RunNotFound, match="tiny"):
        open_run("tinny", "runs")


def test_an_extended_search_has_more_trials_and_keeps_the_rest(project: Any) -> None:
    run, _ = start(project)
    changes = {"resources.max_concurrent_trials": 3, "search.max_failed_trials": 4, "search.num_samples": 5}
    extended = extend(run, given(project, changes), 2)
    assert extended.config.search.num_samples == 7
    assert extended.config.search.max_failed_trials == 4
    assert extended.config.resources.max_concurrent_trials == 3
    assert open_run("tiny", "runs").config == extended.config
    assert extended.config.space == run.config.space


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"space.lr": 0.01}, "space.lr"),
        ({"search.max_epochs": 3}, "search.max_epochs"),
        ({"search.seed": 1}, "search.seed"),
        ({"data.image_size": 24}, "data.image_size"),
        ({"ensemble.folds": 3}, "ensemble.folds"),
    ],
)
def test_another_search_is_not_a_resumption(project: Any, changes: dict[str, Any], named: str) -> None:
    run, _ = start(project)
    before = run.store.config_path.read_bytes()
    with pytest.raises(InputError, match=named):
        extend(run, given(project, changes), 0)
    assert run.store.config_path.read_bytes() == before


def test_broken_images_are_left_out_where_that_is_allowed(project: Any) -> None:
    (project.folder / "images" / project.rows[3][0]).write_bytes(b"")
    with pytest.raises(InputError, match=project.rows[3][0]):
        start(project)
    _, labelled = start(project, {"data.on_broken": "skip"})
    assert project.rows[3][0] not in labelled.table.ids
    assert len(labelled.folds) == len(project.rows) - 1
    reopened = reopen_labelled(open_run("tiny", "runs"), 1, None)
    assert np.array_equal(reopened.table.ids, labelled.table.ids)


def test_images_by_which_a_stored_table_leads_out_are_named(
    project: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "images"
    (project.folder / "images").rename(elsewhere)
    rows = [(str(elsewhere / name), label) for name, label in project.rows]
    project.table(rows, "train.csv")
    start(project, {"data.images": "."})
    notes = reopen_labelled(open_run("tiny", "runs"), 1, None).notes
    assert any(f"lie outside of {project.folder.resolve()} (first: {rows[0][0]})" in note for note in notes), notes


def test_the_command_that_resumes_can_be_pasted_into_a_shell() -> None:
    request = SearchRequest(Path("my runs/a.yaml"), ("space.lr=0.01",), name="b", address="auto")
    command = request.resume_command()
    assert command == "foldtune search 'my runs/a.yaml' --set space.lr=0.01 --name b --address auto --resume"


def test_the_command_that_resumes_has_all_that_was_given() -> None:
    request = SearchRequest(
        Path("a.yaml"), ("data.images=my [b]",), storage="runs [old]", trials=6, allow_no_token=True
    )
    assert request.resume_command() == (
        "foldtune search a.yaml --set 'data.images=my [b]' --set search.num_samples=6 --storage 'runs [old]' "
        "--allow-no-token --resume"
    )
    further = SearchRequest(Path("a.yaml"), trials=9, resume=True)  # the run holds their number by then
    assert further.resume_command() == "foldtune search a.yaml --resume"


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("search.study_storage=postgresql://me:secret@db/x", True),
        ("search.study_storage=postgresql://me:a@b@db/x", True),
        ("search.study_storage=postgresql://me@db/x?password=secret", True),
        ("search.study_storage=postgresql://me:${PGPASSWORD}@db/x", False),
        ("search.study_storage=postgresql://db/x", False),
        ("storage=s3://bucket/runs", False),
        ("space.lr=0.01", False),
    ],
)
def test_a_password_on_the_command_line_is_noticed(override: str, shown: bool) -> None:
    assert SearchRequest(Path("a.yaml"), ("space.lr=0.01", override)).shows_password is shown


def test_deep_pixels_are_counted_by_their_range(project: Any) -> None:
    deep = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(deep).save(project.folder / "images" / project.rows[0][0])
    run, labelled = start(project)
    line = "1 images have more than 8 bits a channel, brought to 8 (data.pixel_range): 1 by 12 bits"
    assert labelled.notes == (line,)
    assert reopen_labelled(run, 1, None).notes == (line,)


def test_pictures_of_one_colour_and_a_window_are_noted(project: Any) -> None:
    names = [name for name, _ in project.rows[:2]]
    for name in names:
        Image.new("RGB", (9, 9), "black").save(project.folder / "images" / name)
    lines = (
        "data.window changes nothing: no image has more than 8 bits a channel",
        f"2 pictures of one colour alone: {names[0]}, {names[1]}",
    )
    run, labelled = start(project, {"data.window": [0, 4095]})
    assert labelled.notes == lines
    assert reopen_labelled(run, 1, None).notes == lines


def test_a_window_is_part_of_what_a_run_is(project: Any) -> None:
    run, _ = start(project, {"data.window": "percentiles"})
    assert open_run("tiny", "runs").config.data.window == {"percentiles": [0.5, 99.5]}
    with pytest.raises(InputError, match=r"differs .* in data\.window"):
        extend(run, given(project), 1)


def test_a_run_of_before_sees_deep_pixels_as_it_did(project: Any) -> None:
    run, _ = start(project)
    stored = run.store.read_config()
    del stored["data"]["pixel_range"]
    run.store.write_config(stored)
    before = open_run("tiny", "runs")
    assert before.config.data.pixel_range == "uint16"
    assert extend(before, given(project), 1).config.data.pixel_range == "uint16"
    with pytest.raises(InputError, match=r"differs .* in data\.pixel_range"):
        extend(before, given(project, {"data.pixel_range": "used"}), 1)
