"""A loss answers to the field's name in every task, and a stored run has its explicit name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from foldtune.errors import SettingsError
from foldtune.trainers.components import Component
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.settings import settings_to_dict
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.trainers.tasks.text_detection import TextDetection

BINARY = Binary("label", ("no", "yes"))
MULTILABEL = Multilabel("labels", ("a", "b", "c"))
MULTICLASS = Multiclass("label", ("a", "b"), (5, 5))
SIGMOID_FORMS = {
    "cross_entropy": Component("bce", {"power": 0.0, "label_smoothing": 0.0}),
    "weighted_cross_entropy": Component("weighted_bce", {"power": 0.5, "label_smoothing": 0.0}),
    "focal": Component("sigmoid_focal", {"gamma": 1.5, "alpha": 0.5}),
    "class_balanced": Component("class_balanced_bce", {"beta": 0.999, "gamma": 0.0}),
}


def loss_of(task: Task, loss: object) -> Component:
    return parse_settings({"loss": loss}, task).loss


def problems_of(task: Task, loss: object) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        loss_of(task, loss)
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("task", [BINARY, MULTILABEL], ids=lambda task: task.name)
@pytest.mark.parametrize("name", SIGMOID_FORMS)
def test_labels_that_are_on_or_off_take_the_sigmoid_form(name: str, task: Task) -> None:
    assert loss_of(task, name) == SIGMOID_FORMS[name]
    assert loss_of(task, SIGMOID_FORMS[name].name) == SIGMOID_FORMS[name]


@pytest.mark.parametrize("task", [MULTICLASS, Ordinal("level", ("0", "1"), (5, 5))], ids=lambda task: task.name)
@pytest.mark.parametrize("name", SIGMOID_FORMS)
def test_one_label_an_image_takes_the_softmax_form(name: str, task: Task) -> None:
    assert loss_of(task, name).name == name


def test_parameters_are_those_of_the_form() -> None:
    assert loss_of(MULTILABEL, {"name": "focal", "gamma": 2, "alpha": 0.25}).params == {"gamma": 2.0, "alpha": 0.25}
    assert loss_of(MULTICLASS, {"name": "focal", "gamma": 2, "power": 0.5}).params == {"gamma": 2.0, "power": 0.5}
    assert (
        "valid: gamma, alpha (of loss 'focal')" in problems_of(MULTILABEL, {"name": "focal", "power": 1})["loss.power"]
    )
    assert (
        "valid: gamma, power (of loss 'focal')" in problems_of(MULTICLASS, {"name": "focal", "alpha": 1})["loss.alpha"]
    )


def test_messages_list_what_is_valid_for_the_task() -> None:
    valid = "cross_entropy, weighted_cross_entropy, focal, class_balanced, asymmetric, bce, weighted_bce"
    assert f"valid: {valid}" in problems_of(BINARY, "sord")["loss"]
    assert "did you mean 'focal'" in problems_of(MULTILABEL, "focall")["loss"]
    assert "needs labels that are on or off (binary, multilabel)" in problems_of(MULTICLASS, "sigmoid_focal")["loss"]
    assert "valid: db" in problems_of(TextDetection("boxes", (64, 64)), "cross_entropy")["loss"]


STORED: list[tuple[Task, dict[str, Any]]] = [
    (BINARY, {"name": "bce", "power": 0.5, "label_smoothing": 0.1}),
    (MULTILABEL, {"name": "sigmoid_focal", "gamma": 1.5, "alpha": 0.5}),
    (MULTILABEL, {"name": "class_balanced_bce", "beta": 0.99, "gamma": 1.0}),
    (MULTILABEL, {"name": "asymmetric", "gamma_neg": 4.0, "gamma_pos": 0.0, "clip": 0.05}),
    (MULTICLASS, {"name": "weighted_cross_entropy", "power": 0.5, "label_smoothing": 0.0}),
    (MULTICLASS, {"name": "focal", "gamma": 2.0, "power": 0.0}),
    (MULTICLASS, {"name": "class_balanced", "beta": 0.999, "gamma": 0.0}),
]


@pytest.mark.parametrize(("task", "loss"), STORED)
def test_a_stored_loss_reads_back_as_it_was(task: Task, loss: dict[str, Any]) -> None:
    again = settings_to_dict(parse_settings({"loss": loss}, task))["loss"]
    assert list(again.items()) == list(loss.items())


def test_each_loss_is_declared_for_a_task() -> None:
    tasks = [BINARY, MULTILABEL, MULTICLASS, Ordinal("level", ("0", "1"), (5, 5)), TextDetection("boxes", (64, 64))]
    assert {name for task in tasks for name in task.losses} == set(LOSSES)
    assert [task.losses[0] for task in tasks] == ["bce", "bce", "cross_entropy", "cross_entropy", "db"]


def test_reading_the_settings_imports_no_torch() -> None:
    code = "import sys, foldtune.trainers.settings; print({'torch', 'timm', 'albumentations'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "set()"
