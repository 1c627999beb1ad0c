"""Properties of every space: what is parsed can be sampled, and what is sampled can be built and fixed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna
from hypothesis import given
from hypothesis import strategies as st

from foldtune.errors import Problem, SpaceError
from foldtune.spaces import Space
from foldtune.spaces.leaves import KINDS, OPTIONS
from foldtune.yaml import dump_yaml, parse_yaml

optuna.logging.set_verbosity(optuna.logging.WARNING)

NAMES = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True).filter(
    lambda name: name not in {*KINDS, *OPTIONS, "name", "preset"} and parse_yaml(name, "name") == name
)
TEXT = NAMES
FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)
POSITIVE = st.floats(1e-9, 1e6)
SCALARS = st.one_of(TEXT, FLOATS, st.integers(-1000, 1000), st.booleans(), st.none())


def pairs(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=2, max_size=2, unique=True).map(sorted)


@st.composite
def grids(draw: st.DrawFn) -> dict[str, Any]:
    low, step, n = draw(st.integers(-50, 50)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    if draw(st.booleans()):
        return {"int": [low, low + n * step], "step": step, "default": low + step}
    # Tenths and hundredths, which binary fractions do not hold exactly.
    return {"uniform": [low / 10, (low * 10 + n * step) / 100], "step": step / 100}


LEAVES = st.one_of(
    SCALARS,
    pairs(FLOATS).map(lambda bounds: {"uniform": bounds}),
    pairs(POSITIVE).map(lambda bounds: {"loguniform": bounds}),
    pairs(st.integers(-100, 100)).map(lambda bounds: {"int": bounds}),
    pairs(st.integers(1, 5000)).map(lambda bounds: {"logint": bounds}),
    grids(),
    st.lists(TEXT, min_size=1, max_size=4, unique=True).map(lambda values: {"choice": values}),
    st.lists(FLOATS, min_size=1, max_size=4, unique=True).map(lambda values: {"choice": values}),
)


def sections(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, nodes, max_size=3).filter(is_plain_section)


def is_plain_section(section: Mapping[str, Any]) -> bool:
    """Whether no key is similar to `choice`: alone above a mapping it would be taken for a misspelling."""
    return not any(name.startswith("ch") for name in section)


def branches(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    content = st.none() | sections(nodes)
    return st.dictionaries(NAMES, content, min_size=1, max_size=3).map(lambda given: {"choice": given})


NODES = st.recursive(LEAVES, lambda nodes: sections(nodes) | branches(nodes), max_leaves=8)
SPACES = sections(NODES)


def flatten(section: Mapping[str, Any]) -> dict[str, Any]:
    """The same space with every key of its sections dotted."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}.{inner}": content for inner, content in flatten_node(value).items()}
        else:
            flat[key] = value
    return flat


def flatten_node(node: Mapping[str, Any]) -> dict[str, Any]:
    if any(kind in node for kind in KINDS):
        return dict(node)
    return flatten(node)


def suggested(space: Space, seed: int, n: int = 4) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n)]


@given(SPACES, st.integers(0, 1000))
def test_what_is_sampled_is_built_and_comes_back(mapping: dict[str, Any], seed: int) -> None:
    space = Space.parse(mapping)
    for params in suggested(space, seed):
        config = space.build(params)
        stored = json.loads(json.dumps(params))
        assert space.build(stored) == config
        assert space.suggest(optuna.trial.FixedTrial(params)) == params
        assert set(params) <= set(space.names())
        # A built configuration holds constants alone: it is a space with nothing to sample.
        assert Space.parse(config).build({}) == config


@given(SPACES)
def test_default_and_corner_cases_are_configurations_of_the_space(mapping: dict[str, Any]) -> None:
    space = Space.parse(mapping)
    cases = list(space.corner_cases())
    assert cases[0] == ("", space.default())
    distributions = space.distributions()
    seen: dict[str, set[Any]] = {name: set() for name in space.names()}
    for path, params in cases:
        space.build(params)
        assert space.suggest(optuna.trial.FixedTrial(params)) == params
        assert path == "" or path in params
        for name, value in params.items():
            assert distributions[name]._contains(distributions[name].to_internal_repr(value))
            seen[name].add(value)
    for parameter in space.parameters:
        assert set(parameter.domain.corners()) <= seen[parameter.name]


@given(SPACES)
def test_yaml_and_dotted_keys_give_the_same_space(mapping: dict[str, Any]) -> None:
    space = Space.parse(mapping)
    assert Space.parse(parse_yaml(dump_yaml(mapping), "space")) == space
    assert Space.parse(flatten(mapping)) == space


def parse_or_problems(mapping: dict[str, Any]) -> tuple[Space | None, tuple[Problem, ...]]:
    try:
        return Space.parse(mapping), ()
    except SpaceError as error:
        return None, error.problems


ANYTHING = st.recursive(
    SCALARS | st.floats() | st.binary(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KINDS, *OPTIONS, "a", "a.b", "b", "", "name"]) | SCALARS, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "a.b", "b", "preset", "choice"]), ANYTHING, max_size=4))
def test_nothing_but_a_space_error_comes_out_of_bad_input(mapping: dict[str, Any]) -> None:
    space, problems = parse_or_problems(mapping)
    assert (space is None) == bool(problems)
    assert all(problem.message and "\n" not in problem.message for problem in problems)
    if space is not None:
        space.build(space.default())
