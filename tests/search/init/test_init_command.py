"""`foldtune init`: data as they lie there become a configuration that validates, each line with its reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from foldtune.search.init.findings import Stated
from foldtune.search.init.page import write_page
from foldtune.search.init.propose import propose

Command = Callable[..., tuple[int, str, str]]


def pictures(folder: Path, names: Sequence[str], size: tuple[int, int] = (40, 30)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(names))
    for name in names:
        Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(folder / name)


def table(path: Path, columns: Mapping[str, Sequence[object]]) -> Path:
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


NAMES = [f"p{number:02d}.png" for number in range(24)]


@pytest.fixture
def skin(tmp_path: Path) -> Path:
    """Three unequal classes, lesions of two pictures each, rows to submit and a sample."""
    folder = tmp_path / "skin"
    pictures(folder / "images", [*NAMES, "t0.png", "t1.png"])
    dx = ["nv"] * 16 + ["mel"] * 5 + ["bkl"] * 3
    lesions = [f"L{row // 2}" for row in range(24)]
    table(folder / "train.csv", {"image": NAMES, "lesion_id": lesions, "dx": dx, "sex": ["m", "f"] * 12})
    table(folder / "test.csv", {"image": ["t0.png", "t1.png"]})
    table(folder / "sample_submission.csv", {"image": ["t0.png", "t1.png"], "dx": ["nv", "nv"]})
    return folder


def init(folder: Path, **stated: Any) -> dict[str, Any]:
    """Return the values of the YAML that a folder's data suggest."""
    proposal = propose([folder], Stated(**stated), folder.parent)
    return dict(yaml.safe_load(write_page("first", proposal.findings)))


def test_tables_columns_groups_and_balance_are_found(skin: Path) -> None:
    found = init(skin)
    assert (found["name"], found["task"]) == ("skin", "multiclass")
    assert found["data"] == {
        "root": "skin",
        "train": "train.csv",
        "test": "test.csv",
        "sample_submission": "sample_submission.csv",
        "images": "images",
        "id": "image",
        "group": "lesion_id",
        "image_size": 32,
        "target": "dx",
    }
    assert found["space"]["preset"] == "long_tail"
    assert found["search"]["metric"] == "balanced_accuracy"
    assert found["ensemble"]["folds"] == 2, "the rarest class has two lesions"


def test_each_line_has_its_reason(skin: Path, foldtune: Command, tmp_path: Path) -> None:
    code, out, _ = foldtune("init", str(skin), "-o", str(tmp_path / "y.yaml"))
    assert code == 0
    assert f"{tmp_path / 'y.yaml'}: valid; next: foldtune preview" in out
    text = (tmp_path / "y.yaml").read_text()
    for reason in ("12 values on 24 rows: never split between folds", "pictures are 40x30 px"):
        assert reason in out
        assert f"# {reason}" in text
    assert "nv: 16, mel: 5, bkl: 3" in text


def test_a_file_is_not_replaced_unasked(skin: Path, foldtune: Command, tmp_path: Path) -> None:
    (tmp_path / "y.yaml").write_text("mine: 1\n")
    code, _, err = foldtune("init", str(skin), "-o", str(tmp_path / "y.yaml"))
    assert code == 2
    assert "is there already; --force replaces it" in err
    assert (tmp_path / "y.yaml").read_text() == "mine: 1\n"


def labels(folder: Path, **columns: Sequence[object]) -> Path:
    pictures(folder / "img", NAMES)
    return table(folder / "train.csv", {"file": NAMES, **columns}).parent


@pytest.mark.parametrize(
    ("values", "stated", "expected"),
    [
        (["0", "1", "2", "3"] * 6, {}, {"task": "ordinal", "metric": "qwk", "preset": "ordinal"}),
        (["1"] * 4 + ["0"] * 20, {}, {"task": "binary", "metric": "balanced_accuracy", "preset": "retinopathy"}),
        (
            ["a|b", "b|c", "c", "a", "b", "a|c"] * 4,
            {},
            {"task": "multilabel", "metric": "macro_f1", "preset": "multilabel"},
        ),
        (["cat", "dog", "cow"] * 8, {}, {"task": "multiclass", "metric": "accuracy", "preset": "multiclass"}),
        (["0", "1", "2"] * 8, {"task": "multiclass"}, {"task": "multiclass", "metric": "accuracy"}),
        (["well", "ill"] * 12, {"positive": "ill"}, {"task": "binary", "positive": "ill", "metric": "accuracy"}),
        (["cat", "dog", "cow"] * 8, {"metric": "macro_f1", "image_size": 16}, {"metric": "macro_f1"}),
    ],
)
def test_the_kind_of_problem_is_that_of_the_labels(
    tmp_path: Path, values: list[str], stated: dict[str, Any], expected: dict[str, str]
) -> None:
    found = init(labels(tmp_path / "d", label=values), **stated)
    flat = {"task": found["task"], **found["data"], **found["space"], **found["search"]}
    assert {key: flat[key] for key in expected} == expected


def test_rows_without_a_label_are_left_out_in_a_line(tmp_path: Path) -> None:
    found = init(labels(tmp_path / "d", label=["a", "b", "c", ""] * 6))
    assert found["data"]["on_missing"] == "skip"


def test_a_split_of_the_table_is_kept(tmp_path: Path) -> None:
    found = init(labels(tmp_path / "d", label=["a", "b", "c"] * 8, split=["train"] * 18 + ["val"] * 6))
    assert found["data"]["split"] == "split"


def test_several_targets_are_searched_one_by_one(tmp_path: Path) -> None:
    folder = labels(tmp_path / "d", oil=["0", "1", "2"] * 8, tone=["x", "y", "z"] * 8)
    found = init(folder, target=("oil", "tone"))
    assert {name: each["task"] for name, each in found["targets"].items()} == {"oil": "ordinal", "tone": "multiclass"}


@pytest.mark.parametrize(
    ("columns", "flags", "parts"),
    [
        ({"a": ["x", "y"] * 12, "b": ["u", "v"] * 12}, (), ["a (2 values), b (2 values)", "--target COLUMN"]),
        ({"label": ["cancer", "normal"] * 12}, (), ["cancer, normal", "--positive LABEL"]),
        ({"label": ["a", "b"] * 12}, ("--target", "lable"), ["--target: ", "'lable'; did you mean 'label'?"]),
        ({"label": ["a", "b", "c"] * 8}, ("--group", "who"), ["--group: ", "unknown column 'who'"]),
        ({"label": ["a", "b"] * 12}, ("--task", "multclass"), ["task: ", "did you mean 'multiclass'?"]),
        ({"weight": [f"{n}.25" for n in range(24)]}, (), ["no column looks like labels", "--target COLUMN"]),
    ],
)
def test_what_the_data_do_not_show_is_left_to_a_flag(
    tmp_path: Path, foldtune: Command, columns: dict[str, list[str]], flags: tuple[str, ...], parts: list[str]
) -> None:
    folder = labels(tmp_path / "d", **columns)
    code, _, err = foldtune("init", str(folder), "-o", str(tmp_path / "x.yaml"), *flags)
    assert code == 2
    assert [part for part in parts if part not in err] == [], err
    assert not (tmp_path / "x.yaml").exists()


def test_several_tables_of_training_rows(tmp_path: Path, foldtune: Command) -> None:
    folder = labels(tmp_path / "d", label=["a", "b", "c"] * 8)
    (folder / "train_2019.csv").write_bytes((folder / "train.csv").read_bytes())
    code, _, err = foldtune("init", str(folder), "-o", str(tmp_path / "x.yaml"))
    assert code == 2
    assert "train.csv" in err
    assert "train_2019.csv (24 rows of label); decide by --train FILE" in err


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda folder: None, "neither a table nor a picture"),
        (lambda folder: table(folder / "a.csv", {"x": [1, 2], "y": ["a", "b"]}), "names pictures that were found"),
        (lambda folder: pictures(folder, ["a.png"]), "--train FILE"),
    ],
)
def test_folders_without_data(tmp_path: Path, foldtune: Command, make: Callable[[Path], Any], part: str) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    make(folder)
    code, _, err = foldtune("init", str(folder), "-o", str(tmp_path / "x.yaml"))
    assert code == 2
    assert part in err


def one_of_classes(folder: Path) -> None:
    for name in ("left", "right"):
        for label in ("a", "b"):
            pictures(folder / name / "train" / label, [f"{label}{row}.png" for row in range(6)])


def unlabelled_beside_classes(folder: Path) -> None:
    pictures(folder, NAMES)
    for label in ("a", "b"):
        pictures(folder.parent / label, NAMES)


def other_pictures(folder: Path) -> None:
    labels(folder, label=["a", "b", "c"] * 8)
    for picture in (folder / "img").iterdir():
        picture.rename(picture.with_name(f"other {picture.name}"))


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (one_of_classes, "several folders may be those of classes: {0}/left, {0}/right; decide by --train DIR"),
        (unlabelled_beside_classes, "no table of training rows was found"),
        (other_pictures, "no column of train.csv names pictures that were found (first: other p00.png): file, label"),
        (lambda folder: (folder / "a.zip").write_bytes(b"PK\5\6" + bytes(18)), "a.zip: is an archive"),
        (lambda folder: (folder / "a.csv").write_text("image,dx\n"), "a.csv: has no rows"),
    ],
)
def test_nothing_is_made_up(
    tmp_path: Path, foldtune: Command, make: Callable[[Path], Any], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    make(folder)
    monkeypatch.chdir(tmp_path)
    code, _, err = foldtune("init", "d", "-o", "x.yaml")
    assert (code, part.format("d") in err) == (2, True), err
    assert not Path("x.yaml").exists()


def parquet(folder: Path) -> None:
    pictures(folder / "img", NAMES)
    content = [(folder / "img" / name).read_bytes() for name in NAMES]
    pd.DataFrame({"image": content, "dx": ["a", "b", "c"] * 8}).to_parquet(folder / "train.parquet")
    shutil.rmtree(folder / "img")


def arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {"train": 24, "test": 4}
    images = {f"{part}_images": rng.integers(0, 255, (rows, 28, 28, 3), np.uint8) for part, rows in parts.items()}
    targets = {f"{part}_labels": np.arange(rows)[:, None] % 2 for part, rows in parts.items()}
    np.savez(folder / "skin.npz", **images, **targets)


def icdar(folder: Path) -> None:
    pictures(folder / "img", NAMES[:6])
    (folder / "gt").mkdir()
    for name in NAMES[:6]:
        (folder / "gt" / f"gt_{name[:-4]}.txt").write_text("2,2,20,2,20,12,2,12,word\n")


def coco(folder: Path) -> None:
    pictures(folder / "img", NAMES[:6])
    images = [{"id": at, "file_name": name, "width": 40, "height": 30} for at, name in enumerate(NAMES[:6])]
    boxes = [{"id": at, "image_id": at, "category_id": 1, "bbox": [2, 2, 18, 10]} for at in range(6)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "text"}]}
    (folder / "train.json").write_text(json.dumps(content))


slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        slow(parquet, {"task": "multiclass", "train": "train.parquet", "target": "dx"}),
        (arrays, {"task": "binary", "train": "skin.npz", "test": "skin.npz"}),
        slow(icdar, {"task": "text_detection", "train": "gt", "images": "img"}),
        (coco, {"task": "text_detection", "train": "train.json", "images": "img"}),
    ],
)
def test_containers_and_boxes_are_recognised(
    tmp_path: Path, foldtune: Command, make: Callable[[Path], None], expected: dict[str, str]
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    make(folder)
    code, _, err = foldtune("init", str(folder), "-o", str(tmp_path / "x.yaml"))
    assert code == 0, err
    found = yaml.safe_load((tmp_path / "x.yaml").read_text())
    flat = {"task": found["task"], **found["data"]}
    assert {key: flat.get(key) for key in expected} == expected


def test_a_place_that_does_not_exist(tmp_path: Path, foldtune: Command) -> None:
    (tmp_path / "skin").mkdir()
    code, _, err = foldtune("init", str(tmp_path / "skim"))
    assert code == 2
    assert "no such file or folder; did you mean 'skin'?" in err


def test_parts_that_are_named_apart_are_one_data_set(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        for label in ("bkl", "mel", "nv"):
            pictures(tmp_path / part / label, [f"{part}_{label}{number}.png" for number in range(count)])
    proposal = propose([tmp_path / part for part in ("train", "val", "test")], Stated(), tmp_path)
    data = yaml.safe_load(write_page("first", proposal.findings))["data"]
    assert {key: data.get(key) for key in ("root", "train", "valid", "test")} == {
        "root": ".",
        "train": "train",
        "valid": "val",
        "test": "test",
    }
