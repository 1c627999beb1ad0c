"""Spaces against the trainer: what passes can be trained at every corner, what does not is named as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from foldtune.errors import InputError
from foldtune.search.runs.validation import check_file, check_space
from foldtune.spaces import Space, list_presets
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.trainers.tasks.text_detection import TextDetection

TASK: Task = Multiclass("label", ("a", "b", "c"), (5, 3, 2))


def problems(space: dict[str, Any], epochs: int = 12) -> list[str]:
    with pytest.raises(InputError) as caught:
        check_space(Space.parse(space), TASK, epochs)
    return list(caught.value.problems)


TASK_OF_PRESET: dict[str, Task] = {
    "multilabel": Multilabel("labels", ("a", "b", "c")),
    "ordinal": Ordinal("label", ("0", "1", "2"), (9, 9, 9)),
    "retinopathy": Binary("label", ("healthy", "sick")),
    "text_detection": TextDetection("boxes", (64, 64)),
}


@pytest.mark.parametrize("preset", sorted(list_presets()))
def test_presets_pass_and_so_does_what_they_propose(preset: str) -> None:
    space = Space.parse({"preset": preset})
    task = TASK_OF_PRESET.get(preset, TASK)
    check_space(space, task, 12)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        parse_settings(space.build(space.suggest(study.ask())), task, epochs=12)


def test_a_problem_is_named_by_the_key_of_the_space() -> None:
    loss = {"choice": {"cross_entropy": None, "focal": {"gamma": {"choice": [1.0, -1.0]}, "gama": 1}}}
    found = problems({"loss": loss, "lr": {"uniform": [0.0, 1.0]}})
    assert sorted(text.split(":")[0] for text in found) == [
        "space.loss.focal.gama",
        "space.loss.focal.gamma",
        "space.lr",
    ]


def test_pairs_that_do_not_go_together_are_found_beside_the_corner_cases() -> None:
    losses = {"choice": {"cross_entropy": None, "focal": None}}
    (found,) = problems({"loss": losses, "mixup": {"choice": [0.0, 0.2]}})
    assert found.startswith("space.mixup: ")
    assert "focal" in found


def test_a_crop_must_fit_into_the_prepared_images() -> None:
    space = Space.parse({"crop": {"name": "random_crop", "size": {"choice": [24, 48]}}})
    check_space(space, TASK, 12, (48, 64))
    with pytest.raises(InputError) as caught:
        check_space(space, TASK, 12, (32, 64))
    assert caught.value.problems[0].startswith("space.crop.size: 48 does not fit into images of 32x64")


def test_each_model_of_a_choice_must_take_the_dropout_of_the_space() -> None:
    models = {"choice": ["test_resnet", "vgg11"]}
    check_space(Space.parse({"model_name": models, "drop_rate": {"uniform": [0, 0.5]}}), TASK, 12)
    (found,) = problems({"model_name": models, "drop_path_rate": {"uniform": [0.0, 0.2]}})
    assert found.startswith("space.drop_path_rate: model 'vgg11' has none")


def test_the_warm_up_must_end_within_the_budget() -> None:
    space = {"lr_scheduler": {"name": "cosine", "warmup_epochs": {"int": [0, 5]}}}
    check_space(Space.parse(space), TASK, 12)
    (found,) = problems(space, epochs=3)
    assert found.startswith("space.lr_scheduler.warmup_epochs")


def test_a_checked_run_holds_what_the_search_needs(project: Any) -> None:
    checked = check_file(Path(project.config({"data.test": "train.csv"})), ["ensemble.folds=4"])
    assert checked.goal.metric == "macro_f1"
    assert checked.goal.mode == "max"
    assert checked.space.names() == ("lr",)
    assert len(checked.table) == len(checked.folds) == 24
    assert sorted(set(checked.folds.tolist())) == [0, 1, 2, 3]
    assert checked.test is not None
    assert checked.test.targets is None
