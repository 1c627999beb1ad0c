"""Messages on forms of data that name the cause, each through the command."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from foldtune.trainers.images.deep_pixels import PixelLimits
from foldtune.trainers.images.reading import decode_picture, picture_size

Command = Callable[..., tuple[int, str, str]]
CLASSES = ["c0", "c1", "c2"]


def weights(project: Any, first: list[str]) -> dict[str, Any]:
    """Write columns of probabilities, the first row's as given."""
    rows = [[name, *(".6" if label == each else ".2" for each in CLASSES)] for name, label in project.rows]
    rows[0][1:] = first
    pd.DataFrame(rows, columns=["image", *CLASSES]).to_csv(project.folder / "soft.csv", index=False)
    return {"data.train": "soft.csv", "data.target": CLASSES}


def flat(text: str) -> str:
    return " ".join(text.split())


def test_an_empty_probability_is_a_line(project: Any, foldtune: Command) -> None:
    code, out, err = foldtune("validate", project.config(weights(project, ["", ".5", ".5"])))
    assert code == 0, err
    assert "1 of 72 cells of the columns of data.target are empty, taken as 0" in flat(out)


def test_all_decimal_commas_are_counted_and_explained(project: Any, foldtune: Command) -> None:
    changes = weights(project, ["0,6", "0,2", "0,2"])
    table = project.folder / "soft.csv"
    frame = pd.read_csv(table, dtype=str)
    frame.loc[1, "c0"] = "0,25"
    frame.to_csv(table, index=False)
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert "'c0': '0,6' is no number; decimals are written with a point (2 rows, data rows 1, 2)" in flat(err)


@pytest.mark.parametrize("window", ["40", "[240, -160]", "{percentiles: [99, 1]}", "soft"])
def test_a_wrong_window_is_named_once(project: Any, foldtune: Command, window: str) -> None:
    code, _, err = foldtune("validate", project.config(), "--set", f"data.window={window}")
    assert (code, flat(err).count(", not ")) == (2, 1), err


def test_an_image_of_two_cells_is_named_with_both(project: Any, foldtune: Command) -> None:
    names = [name for name, _ in project.rows]
    cases = pd.DataFrame({"one": names[:12], "two": names[12:], "label": ["c0", "c1", "c2"] * 4})
    cases.loc[5, "two"] = names[2]
    cases.to_csv(project.folder / "cases.csv", index=False)
    changes = {"data.train": "cases.csv", "data.id": ["one", "two"]}
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert f"(first: '{names[2]}', in column 'one' of data row 3 and column 'two' of data row 6)" in flat(err)


def test_a_sample_of_lists_for_a_task_of_one_label_is_refused(project: Any, foldtune: Command) -> None:
    names = [name for name, _ in project.rows[:4]]
    (project.folder / "test.csv").write_text("image\n" + "\n".join(names) + "\n")
    project.table([(name, "c0; c1") for name in names], "sample.csv")
    changes = {"data.test": "test.csv", "data.sample_submission": "sample.csv"}
    code, _, err = foldtune("validate", project.config(changes))
    assert (code, "'c0; c1'" in err, "multiclass gives one" in flat(err)) == (2, True, True), err
    project.table([(name, "c0") for name in names[1:]], "sample.csv")
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert "lacks 1 id that data.test," in flat(err)
    assert names[0] in err


def test_classes_that_a_given_split_parts_are_lines(project: Any, foldtune: Command) -> None:
    frame = pd.DataFrame(project.rows, columns=["image", "label"])
    frame["split"] = ["val" if label == "c2" else "train" for label in frame["label"]]
    frame.to_csv(project.folder / "parts.csv", index=False)
    changes = {"data.train": "parts.csv", "data.split": "split", "ensemble.folds": 1}
    code, out, err = foldtune("validate", project.config(changes))
    assert code == 0, err
    assert "c2; no trial of the search can learn them" in flat(out)
    assert "classes without a row in fold 0, so the search is judged without them: c0, c1" in flat(out)
    code, _, err = foldtune("validate", project.config({**changes, "ensemble.folds": 2}))
    assert (code, "ensemble.folds: 2 folds, 1 of them given" in flat(err)) == (2, True), err


def test_odd_tags_beside_the_orientation_are_no_warning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274], exif[271] = 6, "camera" * 4
    raw = bytearray(exif.tobytes())
    place = raw.index(b"\x01\x0f")  # the maker, whose length is made longer than the data
    raw[place + 4 : place + 8] = (10_000).to_bytes(4, "big")
    Image.new("RGB", (8, 4)).save(tmp_path / "a.jpg", exif=bytes(raw))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert picture_size(tmp_path / "a.jpg") == (8, 4)  # turned by a quarter
        decode_picture(tmp_path / "a.jpg", (8, 4), "squash", PixelLimits("used"))
    assert not seen
