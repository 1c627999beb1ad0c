"""`foldtune init` with several tables, samples of other ids, measurements, lost zeros and classes of a single row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foldtune.errors import InputError
from foldtune.search.init.findings import Finding, Proposal, Stated, Undecided, raw_of
from foldtune.search.init.inventory import take_inventory
from foldtune.search.init.page import write_page
from foldtune.search.init.propose import propose
from foldtune.search.init.tables import read_table
from foldtune.search.runs import validation
from foldtune.search.runs.validation import check_file
from foldtune.trainers.data.readers import TABLE_SUFFIXES, json_records
from tests.search.init.test_init_command import NAMES, labels, pictures, table

Command = Callable[..., tuple[int, str, str]]
DX = ["nv", "mel", "bkl"] * 8


@pytest.fixture(autouse=True)
def _networks_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "check_trainable", lambda *_, **__: ())


def proposed(folder: Path, **stated: Any) -> Proposal:
    return propose([folder], Stated(**stated), folder.parent)


def data_of(proposal: Proposal) -> dict[str, Any]:
    return dict(raw_of(proposal.findings)["data"])


def written(foldtune: Command, folder: Path, *flags: str) -> tuple[dict[str, Any], str]:
    """Return the YAML that init writes, which validates, and its output."""
    file = folder.parent / "written.yaml"
    code, out, err = foldtune("init", str(folder), "-o", str(file), *flags)
    assert code == 0, err
    check_file(file)
    return dict(yaml.safe_load(file.read_text())), out + err


@pytest.mark.parametrize(
    ("sample", "others", "kept"),
    [
        ({"image": ["t0.png", "t1.png"], "dx": ["nv", "nv"]}, None, {"test", "sample_submission"}),
        ({"Id": ["t0", "t1"], "dx": ["nv", "nv"]}, None, set()),
        ({"Id": ["t0", "t1"], "dx": ["nv", "nv"]}, ["t0.png", "t1.png"], {"test", "sample_submission"}),
        ({"Id": ["t0", "t7"], "dx": ["nv", "nv"]}, ["t0.png", "t1.png"], {"test"}),
        ({"image": ["t0.png", "t1.png"], "score": [0.5, 0.25]}, ["t0.png", "t1.png"], {"test"}),
    ],
)
def test_a_sample_that_fits_no_rows_is_left_out_in_a_line(
    tmp_path: Path, foldtune: Command, sample: dict[str, list[str]], others: list[str] | None, kept: set[str]
) -> None:
    folder = labels(tmp_path / "d", dx=DX)
    pictures(folder / "img", ["t0.png", "t1.png"])
    path = table(folder / "sample_submission.csv", sample)
    if others is not None:
        table(folder / "test.csv", {"file": others})
    if "image" in sample:
        train = (folder / "train.csv").read_text()
        (folder / "train.csv").write_text(train.replace("file", "image", 1))
        if others is not None:
            table(folder / "test.csv", {"image": others})
    found, out = written(foldtune, folder)
    assert {"test", "sample_submission"} & set(found["data"]) == kept
    assert ("note: not used: sample_submission.csv: " in out) == ("sample_submission" not in kept)
    if "sample_submission" not in kept:
        assert ("--sample FILE names another" if others else "--test FILE names the rows to submit") in out
        code, _, err = foldtune("init", str(folder), "-o", str(tmp_path / "x.yaml"), "--sample", str(path))
        assert (code, (tmp_path / "x.yaml").exists()) == (2, False), err


def test_a_sample_of_other_pictures_is_no_table_of_rows(tmp_path: Path) -> None:
    folder = labels(tmp_path / "d", dx=DX)
    table(folder / "sample_submission.csv", {"file": ["x.png", "y.png"], "dx": ["nv", "nv"]})
    found = proposed(folder)
    assert not {"test", "sample_submission"} & set(data_of(found))
    assert "sample_submission.csv: none of its columns names pictures that were found; --test FILE" in found.notes[0]


def test_a_folder_of_classes_that_is_called_train(tmp_path: Path) -> None:
    for name in "abc":
        pictures(tmp_path / "d" / "train" / name, [f"{name}{row}.png" for row in range(4)])
    found = data_of(propose([tmp_path / "d" / "train"], Stated(), tmp_path))
    assert (found["root"], found["train"]) == ("d/train", ".")


MEASURED = [f"{number / 8 + 20:g}" for number in range(12)] * 2
AGES = [str(20 + 3 * number) for number in range(24)] * 2


@pytest.mark.parametrize(
    ("columns", "stated", "part"),
    [
        ({"thickness": MEASURED}, {}, r"no column looks like labels \(thickness: measurements, no classes\)"),
        ({"thickness": MEASURED}, {"target": ("thickness",)}, "'thickness' holds measurements .20, 20.125, 20.25, …"),
        ({"label": MEASURED}, {}, r"\(label: measurements, no classes\); there are: file, label; decide by --target"),
    ],
)
def test_measurements_are_no_classes(tmp_path: Path, columns: Any, stated: Any, part: str) -> None:
    with pytest.raises(Undecided, match=part):
        proposed(labels(tmp_path / "d", **columns), **stated)


def test_measurements_of_a_sample_and_ages_are_no_classes_and_levels_by_halves_are(tmp_path: Path) -> None:
    folder = labels(tmp_path / "d", thickness=MEASURED)
    pictures(folder / "img", ["t0.png"])
    table(folder / "sample_submission.csv", {"file": ["t0.png"], "thickness": [20]})
    with pytest.raises(Undecided, match="'thickness' holds measurements"):
        proposed(folder)
    assert raw_of(proposed(folder, task="ordinal").findings)["task"] == "ordinal"
    halves = labels(tmp_path / "e", severity=["0", "0.5", "1", "1.5"] * 6)
    assert data_of(proposed(halves))["target"] == "severity"
    names = [f"q{number:02d}.png" for number in range(48)]
    pictures(tmp_path / "f", names)
    table(tmp_path / "f" / "train.csv", {"image": names, "years": AGES})
    with pytest.raises(Undecided, match="years: measurements"):
        proposed(tmp_path / "f")


def test_labels_and_metadata_apart(tmp_path: Path) -> None:
    pictures(tmp_path / "d" / "img", NAMES)
    table(tmp_path / "d" / "annotations.csv", {"image": NAMES, "dx": DX})
    stems = [name[:-4] for name in NAMES]
    table(tmp_path / "d" / "metadata.csv", {"image": stems, "sex": ["m", "f"] * 12, "lesion": [*range(12)] * 2})
    found = proposed(tmp_path / "d")
    assert (data_of(found)["train"], data_of(found)["target"]) == ("annotations.csv", "dx")
    use = "it has sex, lesion of 24 of the pictures of annotations.csv; joined to these rows by 'image' they can be"
    assert found.notes == (f"not used: metadata.csv: {use} data.group or data.columns",)
    (tmp_path / "d" / "metadata.csv").rename(tmp_path / "d" / "train_metadata.csv")
    with pytest.raises(Undecided, match=r"annotations.csv \(24 rows of dx\), .*train_metadata.csv \(24 rows of sex"):
        proposed(tmp_path / "d")


def test_more_rows_in_another_table(tmp_path: Path) -> None:
    pictures(tmp_path / "d" / "img", NAMES)
    for name, rows in (("a.csv", slice(0, 12)), ("b.csv", slice(12, 24))):
        table(tmp_path / "d" / name, {"image": NAMES[rows], "dx": DX[rows]})
    with pytest.raises(Undecided, match=r"a.csv \(12 rows of dx\), .*b.csv \(12 rows of dx\); decide by --train FILE"):
        proposed(tmp_path / "d")
    (line,) = proposed(tmp_path / "d", train=tmp_path / "d" / "a.csv").notes
    assert "b.csv: it has the same columns of 12 other pictures; join the rows into one table, or name it" in line


@pytest.mark.parametrize("flags", [{}, {"id": ("id",)}])
def test_numbers_that_lost_their_zeros(tmp_path: Path, flags: dict[str, Any]) -> None:
    pictures(tmp_path / "d" / "img", [f"{number:04d}.png" for number in range(1, 25)])
    table(tmp_path / "d" / "train.csv", {"id": range(1, 25), "dx": DX})
    with pytest.raises(InputError, match=r"0001.png exists: .* write 0001.png and not 1 \(a column that is read as"):
        proposed(tmp_path / "d", **flags)


def weights(rows: Sequence[Mapping[str, float]]) -> list[str]:
    return ['"' + str(row) + '"' for row in rows]


def test_weights_of_a_label_that_no_two_folds_can_share(tmp_path: Path, foldtune: Command) -> None:
    """`data.min_rows` is one more than the rows of any weight that the label has."""
    rows = [{"a": 0.6, "b": 0.4} if row % 2 else {"b": 0.9, "a": 0.1} for row in range(24)]
    rows[3], rows[4], rows[5] = {"c": 0.7, "a": 0.3}, {"b": 0.8, "c": 0.2}, {"a": 0.8, "c": 0.2}
    any_weight = Counter(label for row in rows for label in row)
    found, out = written(foldtune, labels(tmp_path / "d", label=weights(rows)))
    assert found["data"]["min_rows"] == any_weight["c"] + 1 == 4
    assert found["ensemble"]["folds"] == 5
    assert "data.min_rows: 4 (classes that two folds cannot share, by their rows: c (1); labels of fewer rows" in out
    assert "b: 12, a: 11, c: 1" in out


def test_a_label_of_one_case_leaves_no_frequent_ones_out(tmp_path: Path, foldtune: Command) -> None:
    """Of weights a number of rows that leaves the rare label out would leave frequent ones out, too."""
    rows = [{"a": 0.6, "b": 0.4} if row % 2 else {"b": 0.9, "a": 0.1} for row in range(24)]
    for row in range(12):
        rows[row] = rows[row] | {"c": 0.3}
    rows[12], rows[13] = {"d": 1.0}, {"d": 0.9, "b": 0.1}
    rows[14] = {"c": 1.0}
    found, out = written(foldtune, labels(tmp_path / "d", label=weights(rows)), "--task", "multiclass")
    assert found["data"]["target_map"] == {"c": None, "*": "*"}
    assert "min_rows" not in found["data"]
    assert found["ensemble"]["folds"] == 2, "d has two rows"
    assert "by their rows: c (1); they alone are left out" in out


def test_a_long_value_stays_apart_from_its_reason() -> None:
    page = write_page("first", [Finding("data.train", "x" * 80, "all rows")])
    assert yaml.safe_load(page) == {"data": {"train": "x" * 80}}
    assert page.endswith(" # all rows\n")


def test_pictures_of_a_folder_that_is_stated_alone(tmp_path: Path, foldtune: Command) -> None:
    folder = table(tmp_path / "d" / "train.csv", {"file": NAMES, "dx": DX}).parent
    pictures(tmp_path / "elsewhere", NAMES)
    pictures(folder / "thumbnails", NAMES, (8, 6))
    table(tmp_path / "elsewhere" / "train_labels.csv", {"file": NAMES, "dx": DX})
    found, _ = written(foldtune, folder, "--images", str(tmp_path / "elsewhere"))
    assert (found["data"]["root"], found["data"]["images"]) == ("d", "../elsewhere")
    assert (found["data"]["id"], found["data"]["image_size"]) == ("file", 32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no picture 'p00.png' below .*empty$"):
        propose(
            [table(tmp_path / "e" / "train.csv", {"file": NAMES, "dx": DX})],
            Stated(id=("file",), images=tmp_path / "empty"),
            tmp_path,
        )
    with pytest.raises(InputError, match="elsewere: no such file or folder; did you mean 'elsewhere'"):
        proposed(folder, images=tmp_path / "elsewere")


def test_a_class_of_one_row_and_a_column_of_folds(tmp_path: Path, foldtune: Command) -> None:
    found, out = written(foldtune, labels(tmp_path / "d", label=["a"] * 12 + ["b"] * 8 + ["c"] * 3 + ["d"]))
    assert (found["data"]["min_rows"], found["ensemble"]["folds"]) == (2, 3)
    assert "1 label has fewer than 2 rows and is left out (data.min_rows): d (1)" in out
    given = raw_of(proposed(labels(tmp_path / "e", label=DX, fold=[0, 1, 2, 3] * 6)).findings)
    assert (given["data"]["fold"], "folds" in given["ensemble"]) == ("fold", False)


def test_a_json_table_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "d", NAMES)
    (tmp_path / "d" / "train.json").write_text(json.dumps(dict(zip(NAMES, ({"dx": dx} for dx in DX), strict=True))))
    parsed: list[Path] = []
    own = json_records.parse_json

    def counted(path: Path, *rest: str) -> Any:
        parsed.append(path)
        return own(path, *rest)

    monkeypatch.setattr(json_records, "parse_json", counted)
    inventory = take_inventory([tmp_path / "d"])
    assert read_table(inventory.tables[0], inventory).frame["dx"].tolist() == DX
    assert len(parsed) == 1


def test_tables_are_files_of_the_readers_suffixes(tmp_path: Path) -> None:
    pictures(tmp_path / "d", NAMES[:2])
    np.save(tmp_path / "d" / "X.npy", np.zeros((2, 8, 8, 3), np.uint8))
    for name in ("a.ndjson", "b.tsv.xz", "c.tar.gz", "d.h5", "e.txt"):
        (tmp_path / "d" / name).write_text("x")
    (tmp_path / "d" / "each").mkdir()
    for number in range(101):
        (tmp_path / "d" / "each" / f"{number}.xml").write_text("x")
    inventory = take_inventory([tmp_path / "d"])
    assert {path.name for path in inventory.tables} == {"X.npy", "a.ndjson", "b.tsv.xz", "c.tar.gz", "d.h5"}
    (line,) = inventory.left_out
    assert line == f"not read: {tmp_path / 'd' / 'each'}: 101 files .xml, which are too many for tables"
    assert {".csv", ".parquet", ".json", ".npz", ".zip", ".xlsx"} < set(TABLE_SUFFIXES)


def test_columns_of_uncertain_labels_are_multilabel(tmp_path: Path) -> None:
    cells = {"Edema": ["1", "0", "-1", ""] * 6, "Mass": ["0", "1", "1", "0"] * 6}
    found = raw_of(proposed(labels(tmp_path / "d", **cells)).findings)
    assert (found["task"], found["data"]["uncertain"]) == ("multilabel", "ignore")


def test_a_column_that_names_cases_is_taken_where_a_row_is_a_case(tmp_path: Path, foldtune: Command) -> None:
    folder = tmp_path / "d"
    pictures(folder / "img", NAMES)
    ids = [f"case{row}" for row in range(12)]
    cells = {"case_id": ids, "image_1": NAMES[:12], "image_2": NAMES[12:], "dx": ["nv", "mel", "bkl"] * 4}
    table(folder / "train.csv", cells)
    config, said = written(foldtune, folder)
    assert (config["data"]["id"], config["data"]["case"]) == (["image_1", "image_2"], "case_id")
    assert "data.case: case_id (the names of the cases" in said
    table(folder / "test.csv", {"image_1": NAMES[:2], "image_2": NAMES[2:4]})
    assert "case" not in written(foldtune, folder, "--force")[0]["data"]


def test_every_value_has_its_reason(tmp_path: Path, foldtune: Command) -> None:
    folder = labels(tmp_path / "d", dx=["nv;mel", "mel", "bkl", "nv"] * 6)
    config, said = written(foldtune, folder)
    page = (tmp_path / "written.yaml").read_text()
    lines = [line for line in page.splitlines() if ": " in line and not line.startswith("#")]
    assert config["data"]["label_separator"] == ";"
    assert "between the labels of a cell" in said
    assert [line for line in lines if "#" not in line] == []


def test_weights_that_add_up_to_1_are_named_as_a_choice(tmp_path: Path, foldtune: Command) -> None:
    folder = labels(tmp_path / "d", dx=["\"{'a': 0.6, 'b': 0.4}\"", "\"{'b': 0.7, 'c': 0.3}\"", "{'c': 1.0}"] * 8)
    config, said = written(foldtune, folder)
    assert (config["task"], "--task multiclass" in said) == ("multilabel", True)
    assert written(foldtune, folder, "--force", "--task", "multiclass")[0]["task"] == "multiclass"


def test_a_sample_with_a_row_a_case_names_the_case_and_not_the_target(tmp_path: Path, foldtune: Command) -> None:
    folder = tmp_path / "d"
    pictures(folder / "img", NAMES)
    lesions = [f"L{row // 2}" for row in range(24)]
    rows = {"image": NAMES, "lesion": lesions, "dx": [("nv", "mel", "bkl")[row // 2 % 3] for row in range(24)]}
    table(folder / "train.csv", {name: cells[:16] for name, cells in rows.items()})
    table(folder / "val.csv", {name: cells[4:8] for name, cells in rows.items()})
    table(folder / "test.csv", {name: rows[name][16:] for name in ("image", "lesion")})
    table(folder / "sample.csv", {"lesion": ["L8", "L9", "L10", "L11"], "dx": ["nv"] * 4})
    config, said = written(foldtune, folder)
    assert (config["data"]["case"], config["data"]["target"]) == ("lesion", "dx")
    assert "data.case: lesion (the sample submission has a row for each of its values)" in said
    assert "valid" not in config["data"]
    assert "val.csv: 4 of its pictures are training rows of train.csv, too" in said
