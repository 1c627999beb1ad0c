"""Several targets from one YAML: what each run is given, what is refused, and the group on disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image

from foldtune.errors import ClusterError, InputError, RunExists, RunNotFound, SubmissionError
from foldtune.results.records.trials import EpochRow
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.config.packaging import pack_job
from foldtune.search.config.targets import TargetsFile, expand, read_targets
from foldtune.search.runs.group import find_group, new_group, reopen_group
from foldtune.search.runs.run import new_store, open_run, reopen_labelled, start_run
from foldtune.search.runs.target_checks import CheckedTargets, check_targets

Command = Callable[..., tuple[int, str, str]]
TARGETS: dict[str, Any] = {
    "label": "multiclass",
    "sick": {
        "task": "binary",
        "data": {"target": "label", "target_map": {"c0": "no", "c1": "yes", "c2": None}, "image_size": 24},
        "search": {"metric": "f1"},
        "space": {"lr": 0.01, "drop_rate": {"uniform": [0.0, 0.5]}},
    },
    "grade": "ordinal",
}


@pytest.fixture
def several(project: Any) -> Callable[..., str]:
    """several(changes, targets) -> a configuration of three targets; the column `grade` lacks two labels."""
    rows = [f"{name},{label},{'' if place < 2 else label[1:]}" for place, (name, label) in enumerate(project.rows)]
    (project.folder / "train.csv").write_text("\n".join(["image,label,grade", *rows]) + "\n")

    def write(changes: Mapping[str, Any] | None = None, targets: object = None) -> str:
        content = yaml.safe_load(Path(project.config({"name": "many", **(changes or {})})).read_text())
        del content["search"]["metric"]
        content = {key: value for key, value in content.items() if key != "task" or "task" in (changes or {})}
        if "data.target" not in (changes or {}):
            del content["data"]["target"]
        content["targets"] = TARGETS if targets is None else targets
        return str(project.text(yaml.safe_dump(content, sort_keys=False).encode()))

    return write


def read(path: str, *overrides: str, **values: Any) -> TargetsFile:
    file = read_targets(Path(path), overrides, values)
    assert file is not None
    return file


def start(checked: CheckedTargets, *targets: str) -> None:
    for target in targets:
        with new_store(checked.targets[target].config) as store:
            start_run(checked.targets[target], store, 1, None)


def test_own_keys_stand_over_shared_ones(several: Any) -> None:
    checked = check_targets(read(several())).targets
    assert [each.config.name for each in checked.values()] == ["many.label", "many.sick", "many.grade"]
    assert [each.config.data.size[0] for each in checked.values()] == [16, 24, 16]
    assert [each.goal.metric for each in checked.values()] == ["balanced_accuracy", "f1", "qwk"]
    assert checked["sick"].config.space == {
        "model_name": "test_resnet",
        "lr": 0.01,
        "drop_rate": {"uniform": [0.0, 0.5]},
        "amp": "off",
        "channels_last": True,
    }
    assert checked["sick"].config.search.num_samples == checked["label"].config.search.num_samples == 2
    assert checked["sick"].config.data.target == "label"
    assert checked["sick"].task.label_names == ("no", "yes")


def test_rows_without_a_label_are_left_out_for_their_target_only(several: Any) -> None:
    checked = check_targets(read(several())).targets
    assert [len(each.table) for each in checked.values()] == [24, 16, 22]
    assert checked["grade"].table.left_out == {"no label": 2}
    with pytest.raises(InputError, match=r"targets\.grade\..*2 of 24 rows"):
        check_targets(read(several({"data.on_missing": "error"})))


def test_a_list_of_labels_may_be_empty() -> None:
    raws = expand({"data": {}, "targets": {"a": "multilabel", "b": "binary"}})
    assert "on_missing" not in raws["a"]["data"]
    assert raws["b"]["data"]["on_missing"] == "skip"


def test_flags_are_stronger_than_own_keys(several: Any) -> None:
    targets = {"label": {"task": "multiclass", "search": {"num_samples": 7}}}
    file = read_targets(Path(several(targets=targets)), ["targets.label.search.seed=5"], {"search.num_samples": 3})
    assert file is not None
    config, _ = file.config("label")
    assert (config.search.num_samples, config.search.seed) == (3, 5)


@pytest.mark.parametrize(
    ("changes", "targets", "words"),
    [
        ({"task": "multiclass"}, None, ["task: leave it out"]),
        ({"data.target": "label"}, None, ["data.target: leave it out"]),
        ({}, [], ["targets: must be a mapping"]),
        ({}, {"label": 3}, ["targets.label: must be a task's name"]),
        ({}, {"label": {"task": "multiclass", "serch": {}}}, ["targets.label: unknown key 'serch'", "'search'"]),
        ({}, {"label": {"task": "multiclass", "data": {"test": "t.csv"}}}, ["data.test: ", "t.csv: no such file"]),
        ({}, {"label": {"task": "multiclass", "data": 3}}, ["targets.label.data: must be a mapping"]),
        ({}, {"label": "multiclas", "grade": "ordinal"}, ["targets.label.task: unknown task", "'multiclass'"]),
        ({}, {"lable": "multiclass", "grade": "ordinal"}, ["targets.lable.data.target", "'label'"]),
        ({}, {"label": {"data": {}}}, ["task: missing"]),
        ({"search.max_epochs": 0}, None, ["search.max_epochs: must be an integer >= 1"]),
        ({"name": "a b"}, None, ["name: 'a b.label' cannot be a run name"]),
    ],
)
def test_wrong_targets_are_explained(
    several: Any, foldtune: Command, changes: dict[str, Any], targets: object, words: list[str]
) -> None:
    code, _, err = foldtune("validate", several(changes, targets))
    assert code == 2
    assert all(word in err for word in words), err
    if "search.max_epochs" in changes:
        assert err.count("must be an integer") == 1, "what all targets share is said once"


def test_validate_shows_every_target(several: Any, foldtune: Command) -> None:
    code, out, _ = foldtune("validate", several())
    assert code == 0
    assert [out.count(f"many.{target}: ") for target in TARGETS] == [1, 1, 1]


def test_the_sample_has_a_column_a_target(several: Any, project: Any) -> None:
    project.table([], "test.csv")
    (project.folder / "test.csv").write_text(f"image\n{project.rows[0][0]}\n")
    changes = {"data.test": "test.csv", "data.sample_submission": "sample.csv"}
    (project.folder / "sample.csv").write_text(f"image,grade,sick,label\n{project.rows[0][0]},,,\n")
    checked = check_targets(read(several(changes)))
    assert checked.sample == project.folder / "sample.csv"
    assert all(each.config.data.sample_submission is None for each in checked.targets.values())
    (project.folder / "sample.csv").write_text(f"image,grade,label\n{project.rows[0][0]},,\n")
    with pytest.raises(InputError, match="columns image, grade, label; these targets fill image, label, sick, grade"):
        check_targets(read(several(changes)))


def test_a_command_of_one_task_refuses_several(several: Any) -> None:
    from foldtune.search.config.loading import load_config

    with pytest.raises(InputError, match="several targets"):
        load_config(Path(several()))


def test_a_group_is_found_again_and_goes_on(several: Any, foldtune: Command) -> None:
    file = read(several())
    with pytest.raises(RunNotFound, match="leave out --resume"):
        reopen_group(file)
    checked = check_targets(file)
    group = new_group(checked)
    with pytest.raises(RunExists, match="--resume"):
        new_group(checked)
    start(checked, "label", "sick")
    assert find_group("many", "runs") == find_group("runs/many", "elsewhere") == group == reopen_group(file)
    assert [group.has_run(target) for target in TARGETS] == [True, True, False]
    assert list(group.open()) == ["label", "sick"]
    with pytest.raises(InputError, match="no search of grade"):
        group.open_all()
    with pytest.raises(InputError, match=r"name one of its runs \(many\.grade, many\.label, many\.sick\)"):
        open_run("many", "runs")
    with pytest.raises(InputError, match="grade, sick of group"):
        reopen_group(read(several(targets={"label": "multiclass"})))
    more = reopen_group(
        read(several(targets={**TARGETS, "other": {"task": "multiclass", "data": {"target": "label"}}}))
    )
    assert list(more.runs) == [*TARGETS, "other"]
    assert find_group("many", "runs") == more
    reopened = reopen_labelled(group.open()["sick"], 1, None)
    assert len(reopened.table) == 16


def test_one_process_searches_a_group_at_a_time(several: Any, foldtune: Command) -> None:
    path = several()
    group = new_group(check_targets(read(path)))
    assert not group.is_locked()
    with group.lock():
        assert group.is_locked()
        code, _, err = foldtune("search", path, "--resume")
    assert code == 1
    assert "another process" in err
    assert not group.has_run("label")


def test_a_group_for_which_there_is_no_room_leaves_no_folder(
    several: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ClusterError("no room")

    monkeypatch.setattr(RaySession, "connect", refuse)
    code, _, err = foldtune("search", several())
    assert code == 2, err
    assert "no room" in err
    assert not Path("runs").exists()
    start(check_targets(read(several())), "label")  # an earlier target, which stays
    Path("runs/many.label").rename("runs/kept")
    assert foldtune("search", several())[0] == 2
    assert [path.name for path in Path("runs").iterdir()] == ["kept"]


@pytest.mark.parametrize("changed", ["label", "image"])
def test_all_data_of_a_group_are_compared_before_a_target_goes_on(
    several: Any, project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    monkeypatch.setattr(RaySession, "connect", lambda *_: pytest.fail("went on"))
    path = several()
    checked = check_targets(read(path))
    new_group(checked)
    start(checked, "label", "grade")
    name = project.rows[3][0]
    if changed == "image":
        Image.new("RGB", (16, 16), "red").save(project.folder / "images" / name)
    else:
        table = pd.read_csv("train.csv", dtype=str)
        table.loc[3, "grade"] = "0" if table.loc[3, "grade"] == "1" else "1"
        table.to_csv("train.csv", index=False)
    code, _, err = foldtune("search", path, "--resume")
    assert code == 2, err
    assert name in err
    assert ("targets.label" in err, "targets.grade" in err) == (changed == "image", True)
    assert not Path("runs/many.sick").exists()


def test_a_name_of_a_run_that_exists_is_taken(several: Any) -> None:
    checked = check_targets(read(several()))
    start(checked, "sick")
    with pytest.raises(RunExists, match=r"many\.sick"):
        new_group(checked)


def test_results_of_a_group_have_a_part_a_target(several: Any, project: Any, foldtune: Command) -> None:
    checked = check_targets(read(several()))
    group = new_group(checked)
    start(checked, *TARGETS)
    for number, target in enumerate(TARGETS):
        store = group.open()[target].store
        project.stored_trial(store, 0, 0.5)
        project.stored_trial(store, 1, 0.25 + number / 10)
    code, out, err = foldtune("results", "many")
    assert (code, err) == (0, "")
    assert [out.count(f"run many.{target}") for target in TARGETS] == [1, 1, 1]
    by_target = json.loads(foldtune("results", "many", "--format", "json", "--top", "1")[1])
    assert {target: len(rows) for target, rows in by_target.items()} == dict.fromkeys(TARGETS, 1)
    rows = list(csv.DictReader(io.StringIO(foldtune("results", "many", "--format", "csv")[1])))
    assert [row["target"] for row in rows] == [target for target in TARGETS for _ in range(2)]
    assert foldtune("leaderboard", "many", "--output", "board.csv")[0] == 0
    assert pd.read_csv("board.csv")["target"].nunique() == 3
    assert foldtune("thresholds", "many")[0] == 2


def test_a_report_of_a_group_has_a_folder_a_target(several: Any, foldtune: Command) -> None:
    checked = check_targets(read(several()))
    group = new_group(checked)
    start(checked, *TARGETS)
    for run in group.open().values():
        trial = run.store.trial("0000")
        trial.write_config(number=0, params={}, config={})
        metrics = {run.goal.metric: 0.5, f"{run.goal.metric}_tuned": 0.5, "loss": 0.5}
        trial.append_epoch(EpochRow(1, metrics, 1, metrics, 2.0, 100.0, 1e-3, 64, 0.4))
        trial.finish("COMPLETE")
    code, out, err = foldtune("report", "many", "--output", "figures", "--no-timing")
    assert code == 0, err
    assert [out.count(f"target {target}") for target in TARGETS] == [1, 1, 1]
    written = {path.as_posix() for path in Path("figures").rglob("*.csv")}
    assert written == {f"figures/{target}/models.csv" for target in TARGETS}
    told = json.loads(foldtune("report", "many", "--output", "figures", "--no-timing", "--format", "json")[1])
    assert [len(told[target]["models"]) for target in TARGETS] == [1, 1, 1]


def test_one_submission_has_a_column_a_target_in_the_form_of_the_sample(several: Any, project: Any) -> None:
    (project.folder / "test.csv").write_text("image\n" + "\n".join(row[0] for row in project.rows[:2]) + "\n")
    a, b = (row[0] for row in project.rows[:2])
    (project.folder / "sample.csv").write_text(f"image,grade,label,sick\n{b},,,\n{a},,,\n")
    changes = {"data.test": "test.csv", "data.sample_submission": "sample.csv"}
    group = new_group(check_targets(read(several(changes))))
    frames = {target: pd.DataFrame({"image": [a, b], target: [f"{target}1", f"{target}2"]}) for target in TARGETS}
    frames["sick"] = frames["sick"].iloc[::-1]
    group.submit(frames, Path("out.csv"))
    assert Path("out.csv").read_text() == (
        f"image,grade,label,sick\n{b},grade2,label2,sick2\n{a},grade1,label1,sick1\n"
    )
    with pytest.raises(SubmissionError, match=a):
        group.submit({target: frame[frame["image"] != a] for target, frame in frames.items()}, None)


def test_targets_with_data_of_their_own_have_a_submission_each(project: Any, foldtune: Command) -> None:
    regions = {}
    for place, region in enumerate(("brow", "chin")):
        (project.folder / region).mkdir()
        rows = project.rows[place::2]
        for name, _ in rows:
            (project.folder / "images" / name).rename(project.folder / region / name)
        (
            project.table(rows, f"{region}.csv"),
            project.table([(name, "c0") for name, _ in rows[:3]], f"{region}_test.csv"),
        )
        own = {"target": "label", "train": f"{region}.csv", "images": region, "test": f"{region}_test.csv"}
        regions[region] = {"task": "multiclass", "data": {**own, "sample_submission": f"{region}_test.csv"}}
    content = yaml.safe_load(Path(project.config({"name": "face"})).read_text())
    del content["task"], content["data"]
    content |= {"targets": regions, "search": {"num_samples": 1, "max_epochs": 1}}
    path = str(project.text(yaml.safe_dump(content, sort_keys=False).encode()))
    code, _, err = foldtune("validate", path)
    assert code == 0, err
    file = read(path)
    assert not file.joint
    checked = check_targets(file)
    for region, each in checked.targets.items():
        assert each.config.data.sample_submission == project.folder / f"{region}_test.csv"
        assert {image.parent.name for image in each.table.paths} == {region}
        assert each.test is not None
        assert len(each.test) == 3
    group = new_group(checked)
    assert find_group("face", "runs") == group == reopen_group(file)
    assert not group.joint
    packed = pack_job(content, project.folder).config["targets"]
    assert {each["data"]["root"] for each in packed.values()} == {str(project.folder)}
