"""Flat parameters to a nested configuration, the default, the corner cases and the table."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from foldtune.errors import SpaceError
from foldtune.spaces import ParameterRow, Space
from foldtune.yaml import parse_yaml

SPACE = parse_yaml(
    """
    optimizer: adamw
    lr: {loguniform: [1.0e-4, 1.0e-2]}
    drop_rate: {uniform: [0.0, 0.5], step: 0.1}
    loss:
      choice:
        cross_entropy: null
        focal:
          gamma: {uniform: [0.0, 3.0], default: 2.0}
          weights:
            choice:
              none: null
              power: {power: {choice: [0.5, 1.0]}, cap: 20}
    lr_scheduler: {name: cosine, warmup_epochs: {int: [0, 3]}}
    postprocess: {}
    """,
    "space",
)


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.parse(SPACE)


def test_names_put_branches_into_the_path(space: Space) -> None:
    assert space.names() == (
        "lr",
        "drop_rate",
        "loss",
        "loss.focal.gamma",
        "loss.focal.weights",
        "loss.focal.weights.power.power",
        "lr_scheduler.warmup_epochs",
    )


def test_a_branch_becomes_a_section_with_its_name(space: Space) -> None:
    flat = {"lr": 1e-3, "drop_rate": 0.1, "loss": "cross_entropy", "lr_scheduler.warmup_epochs": 2}
    expected = {
        "optimizer": "adamw",
        "lr": 1e-3,
        "drop_rate": 0.1,
        "loss": {"name": "cross_entropy"},
        "lr_scheduler": {"name": "cosine", "warmup_epochs": 2},
        "postprocess": {},
    }
    assert space.build(flat) == expected
    nested = {
        "loss": "focal",
        "loss.focal.gamma": 0.5,
        "loss.focal.weights": "power",
        "loss.focal.weights.power.power": 1.0,
    }
    weights = {"name": "power", "power": 1.0, "cap": 20}
    assert space.build(flat | nested) == expected | {"loss": {"name": "focal", "gamma": 0.5, "weights": weights}}


def test_configurations_do_not_share_their_sections(space: Space) -> None:
    first = space.build(space.default())
    first["postprocess"]["prior_power"] = 1.0
    assert space.build(space.default())["postprocess"] == {}


def test_build_takes_the_types_of_the_space() -> None:
    space = Space.parse({"a": {"int": [1, 9]}, "b": {"uniform": [0, 9]}, "c": {"choice": [0.5, 1]}})
    built = space.build({"a": 3.0, "b": 3, "c": 1.0})  # as a CSV or JSON may give them back
    assert built == {"a": 3, "b": 3.0, "c": 1}
    assert [type(value) for value in built.values()] == [int, float, int]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lr": None}, ("lr", "None is not a number")),
        ({"lr": 0.1}, ("lr", "0.1 is outside 0.0001 to 0.01")),
        ({"drop_rate": 0.15}, ("drop_rate", "0.15 is not 0 plus a multiple of the step 0.1")),
        (
            {"loss": "focl"},
            ("loss", "unknown branch 'focl'; did you mean 'focal'? valid: cross_entropy, focal"),
        ),
        (
            {"loss.focal.gamma": 1.0},
            ("loss.focal.gamma", "counts only with loss = focal, not chosen here"),
        ),
        ({"lrr": 1}, ("lrr", "unknown parameter 'lrr'; did you mean 'lr'?")),
    ],
)
def test_build_refuses_what_the_space_does_not_hold(
    space: Space, change: dict[str, object], expected: tuple[str, str]
) -> None:
    with pytest.raises(SpaceError) as caught:
        space.build(space.default() | change)
    (problem,) = caught.value.problems
    assert problem.path == expected[0]
    assert problem.message.startswith(expected[1])


def test_build_names_every_missing_parameter(space: Space) -> None:
    with pytest.raises(SpaceError) as caught:
        space.build({"loss": "focal"})
    assert [problem.path for problem in caught.value.problems] == [
        "lr",
        "drop_rate",
        "loss.focal.gamma",
        "loss.focal.weights",
        "lr_scheduler.warmup_epochs",
    ]


def test_the_default_is_first_choices_and_middles(space: Space) -> None:
    assert space.default() == {
        "lr": 1e-3,
        "drop_rate": 0.2,
        "loss": "cross_entropy",
        "lr_scheduler.warmup_epochs": 1,
    }


@pytest.mark.parametrize(
    ("leaf", "default"),
    [
        ({"uniform": [0, 1]}, 0.5),
        ({"uniform": [1000, 1010]}, 1005.0),  # two digits would be an end of the range
        ({"uniform": [0.301, 0.309]}, 0.305),
        ({"uniform": [-1, 1]}, 0.0),
        ({"uniform": [0, 1 / 3]}, 0.17),
        ({"uniform": [0, 0.3], "step": 0.1}, 0.1),
        ({"loguniform": [1e-6, 1e-2]}, 1e-4),
        ({"loguniform": [1e-5, 1e-1]}, 1e-3),
        ({"loguniform": [1e-320, 1e300]}, 1e-10),
        ({"int": [1, 4]}, 2),
        ({"int": [0, 12], "step": 4}, 4),
        ({"logint": [8, 512]}, 64),
        ({"logint": [1, 2]}, 1),
    ],
)
def test_default_of_a_range(leaf: dict[str, object], default: float) -> None:
    assert Space.parse({"x": leaf}).default() == {"x": default}


def test_corner_cases_move_one_parameter_at_a_time(space: Space) -> None:
    base = space.default()
    focal = base | {"loss": "focal", "loss.focal.gamma": 2.0, "loss.focal.weights": "none"}
    power = focal | {"loss.focal.weights": "power", "loss.focal.weights.power.power": 0.5}
    assert list(space.corner_cases()) == [
        ("", base),
        ("lr", base | {"lr": 1e-4}),
        ("lr", base | {"lr": 1e-2}),
        ("drop_rate", base | {"drop_rate": 0.0}),
        ("drop_rate", base | {"drop_rate": 0.5}),
        ("loss", focal),
        ("loss.focal.gamma", focal | {"loss.focal.gamma": 0.0}),
        ("loss.focal.gamma", focal | {"loss.focal.gamma": 3.0}),
        ("loss.focal.weights", power),
        ("loss.focal.weights.power.power", power | {"loss.focal.weights.power.power": 1.0}),
        ("lr_scheduler.warmup_epochs", base | {"lr_scheduler.warmup_epochs": 0}),
        ("lr_scheduler.warmup_epochs", base | {"lr_scheduler.warmup_epochs": 3}),
    ]


def test_describe_gives_a_row_an_entry(space: Space) -> None:
    assert space.describe() == (
        ParameterRow("optimizer", "constant", "adamw", ""),
        ParameterRow("lr", "loguniform", "0.0001 to 0.01", ""),
        ParameterRow("drop_rate", "uniform", "0 to 0.5, step 0.1", ""),
        ParameterRow("loss", "choice", "cross_entropy | focal", ""),
        ParameterRow("loss.focal.gamma", "uniform", "0 to 3", "loss = focal"),
        ParameterRow("loss.focal.weights", "choice", "none | power", "loss = focal"),
        ParameterRow(
            "loss.focal.weights.power.power",
            "choice",
            "0.5 | 1",
            "loss = focal, loss.focal.weights = power",
        ),
        ParameterRow("loss.focal.weights.power.cap", "constant", "20", "loss = focal, loss.focal.weights = power"),
        ParameterRow("lr_scheduler.name", "constant", "cosine", ""),
        ParameterRow("lr_scheduler.warmup_epochs", "int", "0 to 3", ""),
        ParameterRow("postprocess", "constant", "{}", ""),
    )


def test_describe_writes_values_as_yaml_does() -> None:
    space = Space.parse({"x": {"choice": [True, None, 1e-5, 3]}, "y": {"logint": [1, 8]}})
    assert [row.range for row in space.describe()] == ["true | null | 1e-05 | 3", "1 to 8"]


@pytest.mark.parametrize(
    ("mapping", "conditional"),
    [
        ({}, False),
        ({"x": {"choice": ["a", "b"]}}, False),
        ({"x": {"choice": {"a": None, "b": {"fixed": 1}}}}, False),
        ({"x": {"choice": {"a": None, "b": {"y": {"int": [1, 2]}}}}}, True),
    ],
)
def test_is_conditional(mapping: dict[str, object], conditional: bool) -> None:
    assert Space.parse(mapping).is_conditional is conditional


def test_an_empty_space_has_one_configuration() -> None:
    space = Space.parse({})
    assert (space.names(), space.default(), space.build({})) == ((), {}, {})
    assert list(space.corner_cases()) == [("", {})]


def test_a_space_is_pickled_whole(space: Space) -> None:
    assert pickle.loads(pickle.dumps(space)) == space


def test_a_grid_has_each_combination_of_active_parameters_once() -> None:
    losses = {"focal": {"gamma": {"uniform": [0, 3], "grid": [1, 2, 3]}}, "cross_entropy": None}
    space = Space.parse(
        {
            "loss": {"choice": losses},
            "drop_rate": {"uniform": [0, 0.3], "step": 0.1},
            "batch_size": {"int": [1, 5], "step": 2},
        }
    )
    found = list(space.grid())
    expected = [
        {**loss, "drop_rate": drop, "batch_size": batch}
        for loss in (*({"loss": "focal", "loss.focal.gamma": g} for g in (1.0, 2.0, 3.0)), {"loss": "cross_entropy"})
        for drop in (0.0, 0.1, 0.2, 0.3)
        for batch in (1, 3, 5)
    ]
    assert len(found) == len(expected) == 48
    assert {frozenset(each.items()) for each in found} == {frozenset(each.items()) for each in expected}
    assert all(space.build(each) for each in found)
    assert space.default() in found
    assert list(Space.parse({"lr": 1.0}).grid()) == [{}]


@pytest.mark.parametrize(
    ("config", "expected", "outside"),
    [
        ({"lr": 0.5, "loss": {"name": "focal", "gamma": 2}}, {"lr": 0.5, "loss": "focal", "loss.focal.gamma": 2.0}, []),
        ({"lr": 0.5, "loss": "cross_entropy"}, {"lr": 0.5, "loss": "cross_entropy"}, []),
        ({"loss": {"name": "focal"}, "new": 1}, {"lr": 0.3, "loss": "focal", "loss.focal.gamma": 1.5}, []),
        ({"lr": 2.0, "loss": {"name": "dice"}}, {"lr": 0.3, "loss": "cross_entropy"}, ["lr", "loss"]),
        ({"lr": {"a": 1}, "loss": {"a": 1}}, {"lr": 0.3, "loss": "cross_entropy"}, ["lr"]),
    ],
)
def test_a_configuration_of_another_space_is_fitted_to_this_one(
    config: dict[str, Any], expected: dict[str, Any], outside: list[str]
) -> None:
    losses = {"cross_entropy": None, "focal": {"gamma": {"uniform": [0, 3]}}}
    space = Space.parse({"lr": {"uniform": [0, 1], "default": 0.3}, "loss": {"choice": losses}})
    params, reasons = space.fitted(config)
    assert (params, list(reasons)) == (expected, outside)
    assert space.fitted(space.build(params)) == (params, {})
