"""What is taken for granted is a line of the summary; what a result depends on is required."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldtune.errors import DataError, InputError
from foldtune.search.checks.submission_form import submission_form, takes_scores
from foldtune.search.checks.trainability import check_trainable
from foldtune.search.config.loading import load_config
from foldtune.search.runs.resuming import check_same
from foldtune.search.runs.run import new_store, open_run, start_run
from foldtune.search.runs.validation import Checked, check_run
from foldtune.spaces import Space, list_presets
from foldtune.trainers.detection.pages import check_pages
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel

THREE = Multiclass("label", ("a", "b", "c"), (8, 8, 8))
TARGETS, FOLDS = np.arange(24) % 3, np.arange(24) % 2


@pytest.fixture
def checked(project: Any) -> Callable[..., Checked]:
    """checked({key path: value}, labels) -> the project with these labels, checked."""

    def check(changes: dict[str, Any], labels: tuple[str, str]) -> Checked:
        rows = [(name, labels[place % 3 == 0]) for place, (name, _) in enumerate(project.rows)]
        return check_run(load_config(Path(project.config({**changes, "data.train": project.table(rows)}))))

    return check


BINARY = {"task": "binary", "search.metric": "balanced_accuracy"}


def test_a_guessed_positive_label_is_a_line(checked: Callable[..., Checked]) -> None:
    found = checked(BINARY, ("normal", "cancer"))
    assert found.task.label_names == ("normal", "cancer")
    assert "positive is the label 'cancer', the rarer one (8 of 24 rows)" in found.notes[0]
    for changes, labels in (({"data.positive": "normal"}, ("normal", "cancer")), ({}, ("no", "yes"))):
        assert not checked({**BINARY, **changes}, labels).notes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"search.metric": "f1"}, "the metric f1"),
        ({"search.metric": "sensitivity"}, "the metric sensitivity"),
        ({"search.metric": "map"}, "the metric map"),
        ({"space.postprocess": {"threshold": 0.15}}, "space.postprocess.threshold"),
        ({"space.postprocess": {"threshold": {"uniform": [0.1, 0.9]}}}, "space.postprocess.threshold"),
        ({"space.loss": {"name": "focal", "alpha": 0.25}}, "space.loss.alpha"),
        ({"space.loss": {"choice": ["bce", "asymmetric"]}}, "space.loss"),
    ],
)
def test_a_positive_label_that_a_result_depends_on_is_required(
    checked: Callable[..., Checked], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        checked({**BINARY, **changes}, ("normal", "cancer"))
    (text,) = caught.value.problems
    assert text.startswith(f"data.positive: missing; {reason} of the labels 'normal' and 'cancer' depends")
    checked({**BINARY, **changes, "data.positive": "cancer"}, ("normal", "cancer"))


def test_a_stored_run_keeps_its_positive_label(checked: Callable[..., Checked]) -> None:
    found = checked({**BINARY, "search.metric": "f1", "data.positive": "normal"}, ("normal", "cancer"))
    with new_store(found.config) as store:
        start_run(found, store, 1, None)
    config = store.read_config()
    config["data"]["positive"] = None  # as a run of before has it
    store.write_config(config)
    assert open_run("tiny", "runs").task.label_names == ("cancer", "normal")


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (("1", "1.0"), "are the same"),
        (("a", "a\u200b"), "are the same"),
        (("Cat", "cat"), "look alike"),
        (("cat", "cat dog"), ""),
    ],
)
def test_labels_that_look_alike_are_a_line(project: Any, labels: tuple[str, str], part: str) -> None:
    rows = [(name, labels[place % 2] if place < 16 else "dog") for place, (name, _) in enumerate(project.rows)]
    notes = check_run(load_config(Path(project.config({"data.train": project.table(rows)})))).notes
    assert any(part in note for note in notes)
    if not part:
        assert "'cat dog' is taken as one label" in notes[0]
        assert "data.label_separator: ' '" in notes[0]


@pytest.mark.parametrize(
    ("task", "metric", "cells", "scores", "line"),
    [
        (Binary("y", ("0", "1")), "auroc", ["0.5", "0.5"], True, "holds scores of the label '1'"),
        (Binary("y", ("0", "1")), "loss", ["0", "0"], True, "holds scores"),
        (Binary("y", ("0", "1")), "auroc", ["", ""], False, "the sample holds no numbers"),
        (
            Binary("y", ("no", "yes")),
            "auroc",
            ["no", "no"],
            False,
            "though the metric auroc is of scores",
        ),
        (Binary("y", ("0", "1")), "auroc", None, False, "no sample shows numbers"),
        (Binary("y", ("no", "yes")), "f1", ["0", "0"], False, "'0' in the sample is no label"),
        (Binary("y", ("0", "1")), "f1", ["0.5", "0.5"], True, "holds scores of the label '1': the sample holds fract"),
        (Binary("y", ("0", "1")), "f1", ["0", "1"], False, ""),
        (Multiclass("y", ("0", "1"), (1, 1)), "auroc", ["0.5"], True, "holds scores of the label '1'"),
        (THREE, "auroc", ["0"], False, "one column cannot hold the scores of several classes"),
        (THREE, "accuracy", ["a"], False, ""),
        (Multilabel("y", ("a",)), "map", ["0"], True, "holds scores"),
        (Multilabel("y", ("a", "b")), "map", ["a"], False, "one column cannot hold"),
    ],
)
def test_a_column_takes_scores_by_the_metric_and_the_sample(
    task: Any, metric: str, cells: list[str] | None, scores: bool, line: str
) -> None:
    assert takes_scores(task, metric, cells) is scores
    sample = None if cells is None else pd.DataFrame({"id": cells, "y": cells})
    notes = submission_form(task, metric, sample, id_column="", target="y").notes
    assert (line in notes[0]) if line else notes == ()


def test_a_column_of_fractions_for_several_classes_is_refused() -> None:
    for metric in ("auroc", "accuracy"):
        with pytest.raises(DataError, match="one column cannot hold the scores of several classes"):
            submission_form(THREE, metric, pd.DataFrame({"id": ["x"], "y": ["0.5"]}), id_column="", target="y")


def trainable(space: dict[str, Any], size: int, rows: int = 24) -> tuple[str, ...]:
    space = {"model_name": "test_resnet", "batch_size": 8, **space}
    return check_trainable(Space.parse(space), THREE, TARGETS[:rows], FOLDS[:rows], (size, size))


@pytest.mark.parametrize(
    ("space", "size", "part"),
    [
        ({"batch_size": 1}, 32, "space.batch_size: model 'test_resnet' cannot train on a batch of 1 at 32x32 px"),
        ({"batch_size": {"choice": [8, 1]}}, 32, "space.batch_size: "),
        ({"model_name": "levit_128s"}, 32, "space.model_name: model 'levit_128s' cannot take images of 32x32"),
        ({"model_name": {"choice": ["test_resnet", "levit_128s"]}}, 32, "its own size is 224x224: set data.image_size"),
    ],
)
def test_what_cannot_train_is_refused(space: dict[str, Any], size: int, part: str) -> None:
    with pytest.raises(InputError) as caught:
        trainable(space, size)
    assert part in str(caught.value)


def test_what_can_train_passes() -> None:
    assert trainable({"batch_size": 1}, 256) == (), "more than one value a channel, whatever the batch"
    assert trainable({"batch_size": 11}, 32) == (), "a last batch of one image is left out"
    assert trainable({"batch_size": 1, "model_name": "test_vit"}, 160) == ()
    (line,) = trainable({"train_last": 50}, 32)
    assert "space.train_last: model 'test_resnet' has" in line


@pytest.mark.parametrize("preset", sorted(list_presets()))
def test_a_preset_trains_for_one_epoch(project: Any, preset: str) -> None:
    space = {"preset": preset, "model_name": "test_resnet"}
    config = load_config(Path(project.config({"space": space, "search.max_epochs": 1})))
    short = config.model_copy(update={"space": Space.parse(space) and space})
    from foldtune.search.checks.space_rules import with_short_warmup

    fitted, notes = with_short_warmup(short)
    schedule = fitted.space.get("lr_scheduler", {})
    assert not schedule or not schedule["warmup_epochs"] >= 1
    assert len(notes) == (preset != "retinopathy")
    check_same(short, fitted)
    own = short.model_copy(update={"space": {**space, "lr_scheduler": {"name": "cosine", "warmup_epochs": 3}}})
    assert with_short_warmup(own) == (own, ())


def test_boxes_of_a_picture_of_other_sides_are_scaled_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (100, 50)).save(path)
    assert check_pages(["a"], [path], [(50, 100)]) == ()
    (line,) = check_pages(["a"], [path], [(100, 200)])
    assert "1 pages have pictures of other sides and the same form; boxes are scaled" in line
    with pytest.raises(DataError, match=r"'a' is 100x50 px .* and not 50x100"):
        check_pages(["a"], [path], [(100, 50)])
    assert check_pages(["a"], [tmp_path / "gone.png"], [(1, 1)]) == ()


def test_images_to_submit_that_are_training_rows_are_a_line(project: Any) -> None:
    Path("test.csv").write_text(f"image\n{project.rows[0][0]}\n{project.rows[1][0]}\n")
    notes = check_run(load_config(Path(project.config({"data.test": "test.csv"})))).notes
    assert any("2 images to submit also among the training rows (first: " in note for note in notes)


@pytest.mark.parametrize("column", ["label", "image"])
def test_a_used_column_that_is_there_twice_is_refused(project: Any, column: str) -> None:
    table = pd.read_csv("train.csv", dtype=str)
    table.insert(len(table.columns), column, table["label"].to_numpy()[::-1], allow_duplicates=True)
    table.insert(len(table.columns), "note", "x")
    table.insert(len(table.columns), "note", "y", allow_duplicates=True)  # of no concern
    table.to_csv("train.csv", index=False)
    with pytest.raises(InputError, match=rf"column '{column}' \(data\.\w+\) is there more than once") as caught:
        check_run(load_config(Path(project.config())))
    assert len(caught.value.problems) == 1
