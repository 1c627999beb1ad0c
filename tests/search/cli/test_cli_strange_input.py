"""Whatever stands in a configuration or a table: exit code 2 and plain, short lines, never a bug of foldtune."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]


def yaml_with(project: Any, old: str, new: str) -> str:
    text = Path(project.config()).read_text()
    assert old in text
    return project.text(text.replace(old, new).encode())


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("train: train.csv", "train: !!bool z", "tag"),
        ("train: train.csv", 'train: "a\\0b.csv"', "data.train: a path holds no NUL"),
        ("train: train.csv", "train: ~nobody_here/x.csv", "data.train: there is no home folder '~nobody_here' here"),
        ("train: train.csv", "train: train.csv\n  root: ~nobody_here/x", "data.root: there is no home folder"),
        ("train: train.csv", "train: train.csv\n  cache: ~nobody_here/x", "data.cache: there is no home folder"),
        ("train: train.csv", f"train: {'x' * 5000}.csv", "data.train: is longer than a path can be"),
        ("train: train.csv", 'train: "\\ud800.csv"', ""),
        ("model_name: test_resnet", f"drop_rate: 1{'0' * 400}", "a number of 401 digits"),
        ("model_name: test_resnet", f"drop_rate: 1{'0' * 150}", "space.drop_rate: must be a number >= 0 and < 1"),
        ("model_name: test_resnet", f"batch_size: {{int: [1, 1{'0' * 150}]}}", "space.batch_size"),
        ("model_name: test_resnet", f"drop_rate: {{uniform: [0, 1{'0' * 150}]}}", "space.drop_rate"),
        ("model_name: test_resnet", f"model_name: {'x' * 20_000}", "space.model_name: unknown model"),
        ("task: multiclass", f"task: {'x' * 20_000}", "task: unknown task"),
        ("num_samples: 2", f"num_samples: 1{'0' * 150}", "search.num_samples"),
        ("image_size: 16", f"image_size: 1{'0' * 150}", "data.image_size"),
        ("name: tiny", f"name: {'x' * 20_000}", "name"),
        ("name: tiny", 'name: "a\\0b"', "name"),
        ("search:", f"search:\n  study_storage: {'x' * 20_000}", ""),
    ],
)
def test_a_strange_configuration(project: Any, foldtune: Command, old: str, new: str, part: str) -> None:
    code, _, err = foldtune("validate", yaml_with(project, old, new))
    assert code in ((0, 2) if not part else (2,)), err
    assert part in err
    assert len(err) < 2000


@pytest.mark.parametrize("name", ["/", "..", ".", "\0", "x" * 5000, "~", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_strange_name_of_an_image(project: Any, foldtune: Command, name: str | bytes) -> None:
    raw = name if isinstance(name, bytes) else name.encode()
    (project.folder / "t.csv").write_bytes(b"image,label\n" + raw + b",a\nd0000.png,b\n")
    code, _, err = foldtune("validate", project.config({"data.train": "t.csv"}))
    assert code == 2
    assert len(err) < 2000


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[" * 100_000, "too deep inside one another"),
        ('{"a":' * 100_000, "too deep inside one another"),
        ('{"d0000.png": {"width": 1' + "0" * 400 + ', "height": 8, "boxes": []}}', "width must be a number of pixels"),
        ('{"d0000.png": {"width": 1' + "0" * 5000 + ', "height": 8, "boxes": []}}', "cannot be read as JSON"),
        ('{"d0000.png": {"width": 8, "height": 8, "boxes": [[[1' + "0" * 400 + ", 1]]]}}", "must have points"),
        ('{"d0000.png": {}, "d0000.png": {}}', "'d0000.png' stands twice"),
        ('{"/": {"width": 8, "height": 8, "boxes": []}}', ""),
    ],
)
def test_strange_boxes(project: Any, foldtune: Command, content: str, part: str) -> None:
    (project.folder / "t.json").write_text(content)
    changes = {"task": "text_detection", "data.train": "t.json", "data.target": "boxes", "search.metric": "hmean"}
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert part in err
    assert len(err) < 2000


@pytest.mark.parametrize("label", ["x" * 3000, "y\u200b" * 2000, "x[red]", "\x1b[31m", "é" * 500])
def test_one_strange_label_does_not_flood_the_message(project: Any, foldtune: Command, label: str) -> None:
    table = project.table([*project.rows[:-1], (project.rows[-1][0], label)])
    code, _, err = foldtune("validate", project.config({"data.train": table}))
    assert code == 2
    assert "1 class has fewer rows than the 2 folds" in err
    assert len(err) < 1500
