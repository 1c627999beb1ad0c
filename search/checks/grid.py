"""The trials of a grid search: whether its space is finite, and how many combinations it has."""

from __future__ import annotations

from itertools import islice

from foldtune.errors import InputError
from foldtune.results.tables.formatting import counted
from foldtune.search.config.schema import RunConfig, SearchConfig
from foldtune.spaces import Space
from foldtune.spaces.domains import Choice, FloatRange, IntRange
from foldtune.spaces.scalars import yaml_text
from foldtune.wording import first_few


def with_grid(config: RunConfig, space: Space) -> tuple[RunConfig, tuple[str, ...]]:
    """Return the configuration with no more trials than its grid has combinations, and a line on their number.

    Raises:
        InputError: a domain of a grid search with infinitely many values.
    """
    ranges = [(each.name, each.domain) for each in space.parameters if not isinstance(each.domain, Choice)]
    if config.search.algorithm != "grid":
        unused = [f"space.{name}" for name, domain in ranges if domain.grid]
        note = f"the grid of {first_few(unused)} counts in ablate, and with search.algorithm: grid" if unused else ""
        return config, (note,) if note else ()
    if endless := [f"space.{name}: {_example(domain)}" for name, domain in ranges if not domain.grid_values()]:
        raise InputError(endless)
    search, note = limited(config.search, space)
    return config.model_copy(update={"search": search}), (note,)


def limited(search: SearchConfig, space: Space) -> tuple[SearchConfig, str]:
    """Return a search with no more trials than its grid has combinations, and a line on it; "" where it is no grid."""
    if search.algorithm != "grid":
        return search, ""
    wanted = search.num_samples
    size = sum(1 for _ in islice(space.grid(), wanted + 1))
    if size > wanted:
        return search, f"the grid has more combinations than search.num_samples, {wanted}: the first {wanted} are tried"
    note = f"the grid has {counted(size, 'combination')}, each a trial"
    return search.model_copy(update={"num_samples": size}), note


def _example(domain: FloatRange | IntRange) -> str:
    low, middle, high = (yaml_text(value) for value in (domain.low, domain.default, domain.high))
    kind = f"{{{domain.kind}: [{low}, {high}], grid: [{low}, {middle}, {high}]}}"
    return f"search.algorithm: grid needs the values to try, as {kind}"
