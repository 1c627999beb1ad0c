"""Options of `data` that belong to a kind of task reach it, and are refused by others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from foldtune.errors import InputError
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.dataset import read_labelled


def data(folder: Path, labels: list[str], **options: Any) -> DataConfig:
    names = [f"{row}.png" for row in range(len(labels))]
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / name)
    rows = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    (folder / "train.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    return DataConfig(train=Path("train.csv"), target="label", **options).resolved(folder)


def test_the_separator_reaches_a_multilabel_task(tmp_path: Path) -> None:
    task, table = read_labelled(data(tmp_path, ["a;b", "b", ""], label_separator=";"), "multilabel")
    assert task.label_names == ("a", "b")
    assert table.targets is not None
    assert table.targets.tolist() == [[1, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize(("positive", "expected"), [(None, ("0", "1")), (0, ("1", "0")), ("0", ("1", "0"))])
def test_the_positive_label_reaches_a_binary_task(tmp_path: Path, positive: object, expected: tuple[str, str]) -> None:
    task, _ = read_labelled(data(tmp_path, ["0", "1", "1"], positive=positive), "binary")
    assert task.label_names == expected


def test_an_option_of_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.positive: the task multiclass has no such option"):
        read_labelled(data(tmp_path, ["0", "1", "1"], positive=1), "multiclass")
    with pytest.raises(InputError, match=r"data\.label_separator: the task binary has no such option"):
        read_labelled(data(tmp_path, ["0", "1", "1"], label_separator=","), "binary")


def test_the_field_s_names_of_losses_are_valid_where_images_have_several_labels(
    project: Any, foldtune: Callable[..., tuple[int, str, str]]
) -> None:
    losses = {"cross_entropy": None, "class_balanced": None, "focal": {"alpha": 0.5, "gamma": {"uniform": [0.0, 3.0]}}}
    changes: dict[str, Any] = {"task": "multilabel", "space.loss": {"choice": losses}}
    code, out, err = foldtune("validate", project.config(changes))
    assert code == 0, err
    assert "valid" in out + err
    changes["space.loss"] = {"choice": losses | {"focal": {"power": 0.5}}}
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert "space.loss.focal.power: unknown parameter 'power'" in err
    assert "valid: gamma, alpha (of loss 'focal')" in " ".join(err.split())
