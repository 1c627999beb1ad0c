"""Reading a space: what is accepted, and one message for everything that is wrong."""

from __future__ import annotations

import pickle
import re
from datetime import date
from typing import Any

import pytest

from foldtune.errors import Problem, SpaceError
from foldtune.spaces import Space, list_presets
from foldtune.spaces.domains import Choice, FloatRange, IntRange
from foldtune.yaml import dump_yaml, parse_yaml


def problems_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(SpaceError) as caught:
        Space.parse(parse_yaml(text, "space"))
    return [(problem.path, problem.message) for problem in caught.value.problems]


def domain_of(text: str) -> FloatRange | IntRange | Choice:
    (parameter,) = Space.parse({"x": parse_yaml(text, "space")}).parameters
    return parameter.domain


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("{uniform: [0, 0.5]}", FloatRange(0.0, 0.5, default=0.25)),
        ("{uniform: [-1, 1], step: 0.5}", FloatRange(-1.0, 1.0, default=0.0, step=0.5)),
        ("{loguniform: [1.0e-5, 1.0e-2]}", FloatRange(1e-5, 1e-2, default=3.2e-4, log=True)),
        ("{int: [1, 9]}", IntRange(1, 9, default=5)),
        ("{int: [2, 10], step: 4, default: 10}", IntRange(2, 10, default=10, step=4)),
        ("{logint: [1, 64]}", IntRange(1, 64, default=8, log=True)),
        ("{loguniform: [1e-4, 1], grid: [1, 1e-3, 1e-2]}", FloatRange(1e-4, 1.0, 1e-2, True, grid=(1.0, 1e-3, 1e-2))),
        ("{int: [1, 9], grid: [2, 8], default: 8}", IntRange(1, 9, default=8, grid=(2, 8))),
        ("{choice: [a, b]}", Choice(("a", "b"), default="a")),
        ("{choice: [1, 2.5, null], default: null}", Choice((1, 2.5, None), default=None)),
        ("{choice: [true, false]}", Choice((True, False), default=True)),
        ("{choice: [only]}", Choice(("only",), default="only")),
        ("{choice: {a: null, b: {}}, default: b}", Choice(("a", "b"), default="b", branches=True)),
    ],
)
def test_each_kind_is_read(text: str, domain: FloatRange | IntRange | Choice) -> None:
    assert domain_of(text) == domain


def test_numbers_with_an_exponent_need_no_dot() -> None:
    assert domain_of("{loguniform: [1e-5, 1e-2], default: 1e-3}") == FloatRange(1e-5, 1e-2, 1e-3, log=True)
    assert domain_of("{uniform: [0, 1e1], step: 5e-1}") == FloatRange(0.0, 10.0, 5.0, step=0.5)
    assert domain_of("{logint: [1, 1e3]}") == IntRange(1, 1000, default=32, log=True)
    assert domain_of("{choice: [1e-4, 1e-3]}") == Choice((1e-4, 1e-3), default=1e-4)
    space = Space.parse(parse_yaml("{lr: 1e-3, model_name: '10'}", "space"))
    assert space.build({}) == {"lr": 1e-3, "model_name": "10"}


def test_integral_floats_are_integer_bounds() -> None:
    domain = domain_of("{int: [1.0, 3.0]}")
    assert isinstance(domain, IntRange)
    assert (type(domain.low), type(domain.default)) == (int, int)


def test_a_float_range_holds_floats_though_written_with_integers() -> None:
    domain = domain_of("{uniform: [0, 4], default: 1}")
    assert isinstance(domain, FloatRange)
    assert {type(v) for v in (domain.low, domain.high, domain.default)} == {float}


def test_dotted_keys_equal_nested_ones() -> None:
    nested = Space.parse(
        {
            "lr": {"uniform": [0, 1], "default": 0.5},
            "loss": {"name": "focal", "gamma": {"uniform": [0, 3]}, "weights": {"a": {"b": 1}}},
            "sampler": {"choice": {"none": None, "balanced": {"inner": {"strength": {"uniform": [0, 1]}}}}},
        }
    )
    dotted = Space.parse(
        {
            "lr.uniform": [0, 1],
            "lr.default": 0.5,
            "loss": {"name": "focal"},
            "loss.gamma": {"uniform": [0, 3]},
            "loss.weights.a.b": 1,
            "sampler.choice": {"none": None, "balanced": {"inner.strength": {"uniform": [0, 1]}}},
        }
    )
    assert dotted == nested


def test_a_branch_may_have_dots_in_its_name() -> None:
    space = Space.parse({"model": {"choice": {"resnet10t.c3_in1k": {"drop": {"uniform": [0, 1]}}}}})
    assert space.names() == ("model", "model.resnet10t.c3_in1k.drop")
    assert space.build(space.default()) == {"model": {"name": "resnet10t.c3_in1k", "drop": 0.5}}


UNKNOWN_KIND = "valid: uniform, loguniform, int, logint, choice"
PRESETS = ", ".join(sorted(list_presets()))
BAD = [
    ("lr: {uniform: [0, 1], grid: [0, 2]}", "lr", "grid: 2 is outside 0 to 1"),
    ("lr: {uniform: [0, 1], grid: 0.5}", "lr", "grid takes a list of values, got 0.5"),
    ("lr: {uniform: [0, 1], grid: []}", "lr", "grid takes a list of values, got []"),
    ("lr: {uniform: [0, 1], grid: [1, 1.0]}", "lr", "grid: a value is given twice"),
    ("lr: {uniform: [0, 1], grid: [0, 1], default: 0.5}", "lr", "default: 0.5 is not in the grid; valid: 0, 1"),
    ("lr: {choice: [0, 1], grid: [0]}", "lr", "'grid' does not go with choice, whose values are a grid already"),
    (
        "lr: {loguniforn: [1e-5, 1e-2]}",
        "lr",
        f"unknown kind 'loguniforn'; did you mean 'loguniform'? {UNKNOWN_KIND}",
    ),
    (
        "lr: {log_uniform: [1e-5, 1e-2]}",
        "lr",
        f"unknown kind 'log_uniform'; did you mean 'loguniform'? {UNKNOWN_KIND}",
    ),
    ("lr: {gauss: [0, 1], default: 0}", "lr", f"unknown kind 'gauss'; {UNKNOWN_KIND}"),
    ("lr: {choise: {a: null}}", "lr", f"unknown kind 'choise'; did you mean 'choice'? {UNKNOWN_KIND}"),
    ("lr: {uniform: [1, 0]}", "lr", "low bound 1 is above high bound 0; swap them"),
    ("lr: {int: [7, 3]}", "lr", "low bound 7 is above high bound 3; swap them"),
    ("lr: {uniform: [1, 1]}", "lr", "both bounds are 1; write the constant 1 instead"),
    (
        "lr: {loguniform: [0, 1]}",
        "lr",
        "loguniform needs bounds above 0, got low bound 0; raise it, or use uniform",
    ),
    ("lr: {logint: [-2, 8]}", "lr", "logint needs bounds above 0, got low bound -2; raise it, or use int"),
    ("lr: {choice: []}", "lr", "choice is empty; name at least one value"),
    ("lr: {choice: {}}", "lr", "choice is empty; name at least one value"),
    ("lr: {choice: adamw}", "lr", "choice takes a list of values or a mapping of branches, got 'adamw'"),
    ("lr: {choice: [a, b, a]}", "lr", "'a' is given twice"),
    ("lr: {choice: [1, true]}", "lr", "True is given twice"),
    ("lr: {choice: [[1, 2]]}", "lr", "[1, 2] is a list; valid: text, a number, true, false, null"),
    (
        "lr: {choice: [a, {b: 1}]}",
        "lr",
        "{'b': 1} stands in a list; where branches bring parameters, write a mapping",
    ),
    (
        "amp: {choice: [false, bf16]}",
        "amp",
        "booleans stand beside text: quote those that are text",
    ),
    ("amp: {choice: {false: null}}", "amp", "branch False is not text; YAML reads true, false"),
    ("lr: {uniform: [-.inf, 1]}", "lr", "low bound: -inf is not finite"),
    ("lr: {uniform: [0, .nan]}", "lr", "high bound: nan is not finite"),
    ("lr: {uniform: [0, 1e999]}", "lr", "high bound: inf is not finite"),
    (
        "lr: {uniform: [-1.0e+308, 1.0e+308]}",
        "lr",
        "the range from -1e+308 to 1e+308 is too wide to sample from",
    ),
    ("lr: {choice: [0.1, .nan]}", "lr", "nan is not finite"),
    ("lr: .inf", "lr", "inf is not finite"),
    ("lr: {uniform: [true, 2]}", "lr", "low bound: True is not a number"),
    ("lr: {uniform: [a, 2]}", "lr", "low bound: 'a' is not a number"),
    ("lr: {uniform: 0.5}", "lr", "uniform takes [low, high], got 0.5"),
    ("lr: {uniform: [0, 1, 2]}", "lr", "uniform takes [low, high], got [0, 1, 2]"),
    ("lr: {int: [1, 5.5]}", "lr", "high bound: 5.5 is not a whole number"),
    ("lr: {int: [1, 9007199254740994]}", "lr", "high bound: 9007199254740994 is beyond 2**53"),
    (
        "lr: {uniform: [0, 1], step: 0.3}",
        "lr",
        "step 0.3 does not divide the range from 0 to 1 into whole steps",
    ),
    ("lr: {int: [1, 10], step: 4}", "lr", "step 4 does not divide the range from 1 to 10 into whole steps"),
    ("lr: {int: [1, 10], step: 1.5}", "lr", "step: 1.5 is not a whole number"),
    ("lr: {uniform: [0, 1], step: 0}", "lr", "step must be above 0, got 0"),
    ("lr: {uniform: [0, 1], step: -0.5}", "lr", "step must be above 0, got -0.5"),
    (
        "lr: {loguniform: [1, 10], step: 1}",
        "lr",
        "'step' does not go with loguniform; it goes with uniform and int",
    ),
    ("lr: {choice: [1, 2], step: 1}", "lr", "'step' does not go with choice; it goes with uniform and int"),
    ("lr: {uniform: [0, 1], default: 2}", "lr", "default: 2 is outside 0 to 1"),
    ("lr: {uniform: [0, 1], default: null}", "lr", "default: None is not a number"),
    (
        "lr: {uniform: [0, 1], step: 0.5, default: 0.6}",
        "lr",
        "default: 0.6 is not 0 plus a multiple of the step 0.5",
    ),
    ("lr: {int: [1, 9], default: 2.5}", "lr", "default: 2.5 is not a whole number"),
    ("lr: {int: [1, 9], step: 2, default: 4}", "lr", "default: 4 is not 1 plus a multiple of the step 2"),
    (
        "lr: {choice: [adamw, sgd], default: adam}",
        "lr",
        "default: unknown value 'adam'; did you mean 'adamw'?",
    ),
    ("lr: {choice: [1, 2], default: true}", "lr", "default: unknown value True; valid: 1, 2"),
    (
        "loss: {choice: {focal: null}, default: focl}",
        "loss",
        "default: unknown branch 'focl'; did you mean 'focal'?",
    ),
    (
        "lr: {default: 2}",
        "lr",
        "'default' without a kind; add one of uniform, loguniform, int, logint, choice",
    ),
    (
        "lr: {uniform: [0, 1], defualt: 1}",
        "lr",
        "unknown option 'defualt'; did you mean 'default'? valid: default, step",
    ),
    ("lr: {uniform: [0, 1], int: [0, 1]}", "lr", "'uniform' and 'int' are given; keep one"),
    ("lr: [1, 2]", "lr", "a list is not a value; write {choice: […]} to choose from it"),
    ("loss: {gamma: [0, 3]}", "loss.gamma", "a list is not a value"),
    (
        "loss: {choice: {focal: 2}}",
        "loss.focal",
        "a branch holds a mapping of its parameters, or null, got 2",
    ),
    ("loss: {choice: {focal: {name: 2}}}", "loss.focal.name", "'name' is taken: it holds the branch"),
    (
        "loss: {choice: {focal: {uniform: [0, 1]}}}",
        "loss.focal",
        "'uniform' belongs below the name of a parameter",
    ),
    (
        "loss: {choice: {focal: {gama: {int: [2, 1]}}}}",
        "loss.focal.gama",
        "low bound 2 is above high bound 1",
    ),
    ("uniform: [0, 1]", "uniform", "'uniform' belongs below the name of a parameter: {lr: {uniform: …}}"),
    ("{lr.x: 1, lr: {x: 2}}", "lr.x", "given twice, once nested and once dotted; keep one"),
    ("{lr: {uniform: [0, 1]}, lr.uniform: [0, 2]}", "lr.uniform", "given twice"),
    ("{lr: 1, lr.x: 2}", "lr", "given twice"),
    ("lr..x: 1", "", "key 'lr..x' has an empty part; write names joined by single dots"),
    (
        "false: 1",
        "",
        "key False is not text; YAML reads true, false, null and numbers as values: quote it",
    ),
    ("loss: {1: 2}", "loss", "key 1 is not text"),
    ("{m: {choice: {a.b: {c: 1}, a: {b: {c: 1}}}}}", "m.a.b.c", "names two parameters"),
    (
        "preset: quik",
        "preset",
        f"unknown preset 'quik'; did you mean 'quick'? valid: {PRESETS}",
    ),
    ("preset: [quick, 3]", "preset", f"unknown preset 3; valid: {PRESETS}"),
]


@pytest.mark.parametrize(("text", "path", "message"), BAD, ids=[text for text, _, _ in BAD])
def test_what_is_wrong_is_named_with_its_place(text: str, path: str, message: str) -> None:
    ((found_path, found),) = problems_of(text)
    assert found_path == path
    assert found.startswith(message)


def test_all_problems_are_reported_at_once() -> None:
    found = problems_of(
        """
        preset: quik
        lr: {uniform: [a, .inf], defualt: 3}
        loss: {choice: {focal: {gamma: {unifrom: [0, 3]}, alpha: [1]}, ce: 3}, default: focl}
        opt.x: 1
        opt: {x: 2}
        """
    )
    assert [path for path, _ in found] == [
        "preset",
        "opt.x",
        "lr",
        "lr",
        "lr",
        "loss",
        "loss.focal.gamma",
        "loss.focal.alpha",
        "loss.ce",
    ]


@pytest.mark.parametrize("given", [None, [], "quick", 3])
def test_a_space_is_a_mapping(given: Any) -> None:
    with pytest.raises(SpaceError, match="a space is a mapping of parameters"):
        Space.parse(given)


def test_the_error_reads_as_lines_and_survives_pickling() -> None:
    error = SpaceError([Problem("lr", "too low"), Problem("", "empty")])
    assert str(error) == "lr: too low\nempty"
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_what_is_parsed_is_not_changed() -> None:
    mapping = {"preset": "quick", "loss.gamma": {"uniform": [0, 1]}, "loss": {"name": "focal"}}
    before = dump_yaml(mapping)
    Space.parse(mapping)
    assert dump_yaml(mapping) == before


def test_a_date_is_no_value() -> None:
    with pytest.raises(SpaceError, match=re.escape("datetime.date(2024, 1, 1) is a date; valid: text, a number")):
        Space.parse({"lr": date(2024, 1, 1)})


def test_a_section_may_have_the_first_letter_of_a_kind() -> None:
    assert Space.parse({"a": {"c": {}}}).build({}) == {"a": {"c": {}}}
