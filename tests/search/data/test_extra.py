"""Rows of `data.extra`, through `foldtune validate` and below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldtune.search.audit.findings import EXTRA, TRAIN_TEST, scope_of
from foldtune.search.audit.rows import joined_rows, rows_of_config, without_extra
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.dataset import Labelled, image_plan
from foldtune.search.data.given_splits import split_rows
from foldtune.search.runs.resuming import check_same
from foldtune.search.runs.run import new_store, open_run, reopen_labelled, start_run
from foldtune.search.runs.validation import Checked, check_file
from foldtune.trainers.data.joined import with_extra
from foldtune.trainers.data.table import Table

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def outside(project: Any) -> Any:
    """The project's images split into its own rows and those of another folder, called alike."""
    (project.folder / "others").mkdir()
    rows = []
    for place, (name, label) in enumerate(project.rows[1::2]):
        other = project.rows[2 * place][0]  # the name of a row of the project's own
        (project.folder / "images" / name).rename(project.folder / "others" / other)
        rows.append((other, f"other {label}" if label != "c2" else "unsure"))
    project.table(project.rows[::2], "train.csv"), project.table(rows, "others.csv")
    return project


def entry(**changes: Any) -> dict[str, Any]:
    labels = {"other c0": "c0", "other c1": "c1", "unsure": None}
    return {"table": "others.csv", "images": "others", "target_map": labels, "weight": 0.5} | changes


def checked(project: Any, changes: Mapping[str, Any]) -> Checked:
    return check_file(Path(project.config(changes)))


def test_rows_of_another_data_set_are_in_every_training_part_and_in_no_fold(outside: Any, foldtune: Command) -> None:
    plain, found = checked(outside, {}), checked(outside, {"data.extra": [entry()]})
    assert found.folds.tolist() == [*plain.folds.tolist(), *[-1] * 8], "folds of the other rows are as without them"
    assert found.table.extra_weights is not None
    assert found.table.extra_weights.tolist() == [0.0] * 12 + [0.5] * 8
    assert found.table.ids[12:].tolist() == [f"extra1/{name}" for name, _ in outside.rows[:16:2]]
    code, out, err = foldtune("validate", outside.config({"data.extra": [entry()]}))
    assert code == 0, err
    line = "data.extra: 8 rows of others.csv only ever train, with 0.5 of their loss; class weights, samplers and"
    assert line in " ".join((out + err).split())
    assert "none of them is c2" in " ".join((out + err).split())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(6, 20), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(2, 3), st.booleans())
def test_no_fold_judges_such_rows_and_every_training_has_them(
    project: Any, own: int, further: list[int], folds: int, grouped: bool
) -> None:
    def rows(count: int, name: str) -> Table:
        ids = np.array([f"{name}{row}" for row in range(count)])
        groups = np.array([f"{name}{row // 2}" for row in range(count)]) if grouped else None
        return Table(ids, tuple(Path(f"{each}.png") for each in ids), np.zeros(count, dtype=np.int64), groups)

    found = checked(project, {"ensemble.folds": folds})
    table = rows(own, "own")
    for number, count in enumerate(further):
        table = with_extra(table, rows(count, f"extra{number}/"), 0.5, Path("x.csv"))
    assigned, _ = split_rows(found.task, table, found.config)
    labelled = Labelled(found.task, table, assigned, image_plan(found.config.data, 1))
    extra = set(range(own, own + sum(further)))
    for fold in range(folds):
        data = labelled.fold(fold, None)  # type: ignore[arg-type]
        assert extra <= set(data.train_rows.tolist())
        assert not extra & set(data.valid_rows.tolist())
    assert assigned[:own].min() >= 0


def test_a_run_with_such_rows_opens_again_and_keeps_them(outside: Any) -> None:
    found = checked(outside, {"data.extra": [entry()]})
    with new_store(found.config) as store:
        _, labelled = start_run(found, store, 1, None)
    again = reopen_labelled(open_run("tiny", "runs"), 1, None)
    np.testing.assert_array_equal(again.table.extra_weights, labelled.table.extra_weights)
    np.testing.assert_array_equal(again.folds, labelled.folds)
    assert again.digest == labelled.digest != ""
    stored = open_run("tiny", "runs").config
    check_same(checked(outside, {"data.extra": [entry()]}).config, stored)
    with pytest.raises(Exception, match=r"differs .* in data.extra"):
        check_same(checked(outside, {"data.extra": [entry(weight=1.0)]}).config, stored)


def test_paths_of_further_rows_move_with_the_root(tmp_path: Path) -> None:
    given_data = DataConfig(root=tmp_path, train=Path("t.csv"), target="y", extra=[entry()]).resolved(tmp_path)
    assert given_data.extra[0].table == tmp_path / "others.csv"
    moved = given_data.moved(tmp_path / "new")
    assert moved.extra[0].paths == {"table": tmp_path / "new/others.csv", "images": tmp_path / "new/others"}
    assert tmp_path / "new/others.csv" in moved.tables


def test_an_audit_names_copies_among_judged_and_test_images(outside: Any) -> None:
    found = checked(outside, {"data.extra": [entry()]})
    rows = joined_rows(found.task, found.config.data, found.table, found.folds, found.table.select([0]))
    pair = lambda one, other: type("Pair", (), {"row": one, "other": other})()  # noqa: E731
    assert scope_of(rows, pair(0, 12)) == EXTRA
    assert scope_of(rows, pair(12, len(rows) - 1)) == TRAIN_TEST
    own, columns = without_extra(rows, {"size": np.arange(len(rows))})
    assert own.ids.tolist() == [*rows.ids[:12], rows.ids[-1]]
    assert columns["size"].tolist() == [*range(12), 20]
    np.testing.assert_array_equal(own.targets, rows.targets[:12])
    assert rows_of_config(found.config).is_extra is not None


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "label": ({"target_map": {"other c0": "c0", "other c1": "C1_", "unsure": None}}, "did you mean 'c1'?"),
    "name": ({"target_map": {"othr c0": "c0", "*": "c1"}}, "'othr c0', which no row has; did you mean 'other c0'?"),
    "table": ({"table": "gone.csv"}, "data.extra.1: "),
    "weight": ({"weight": 0}, "data.extra.1.weight"),
    "key": ({"weigth": 1}, "weigth"),
    "file": ({"table": "train.csv", "images": "images", "target_map": None}, "12 images are training rows, too"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_is_named(outside: Any, foldtune: Command, name: str) -> None:
    changes, message = BAD[name]
    code, _, err = foldtune("validate", outside.config({"data.extra": [entry(**changes)]}))
    assert code == 2
    assert message in " ".join(err.split())


def test_entries_are_a_list(outside: Any, foldtune: Command) -> None:
    code, _, err = foldtune("validate", outside.config({"data.extra": entry()}))
    assert code == 2
    assert "data.extra: must be a list, each a mapping of keys (table, images, target_map, weight), not" in err


def test_a_weight_of_the_space_needs_such_rows(outside: Any, foldtune: Command) -> None:
    searched = {"space.extra_weight": {"loguniform": [0.1, 1.0]}}
    code, _, err = foldtune("validate", outside.config(searched))
    assert code == 2
    assert "space.extra_weight: there are no such rows; name data.extra" in " ".join(err.split())
    found = checked(outside, {**searched, "data.extra": [entry()]})
    assert any(each.name == "extra_weight" for each in found.space.parameters)


def test_a_group_on_both_sides_is_refused(outside: Any, foldtune: Command) -> None:
    for name, patients in {"train.csv": range(12), "others.csv": range(11, 23)}.items():
        lines = (outside.folder / name).read_text().splitlines()
        cells = ["patient", *(str(each) for each in patients)]
        (outside.folder / name).write_text("\n".join(f"{a},{b}" for a, b in zip(lines, cells, strict=True)))
    code, _, err = foldtune("validate", outside.config({"data.extra": [entry()], "data.group": "patient"}))
    assert code == 2
    assert "1 groups or cases have rows in the training table, too (11)" in " ".join(err.split())
