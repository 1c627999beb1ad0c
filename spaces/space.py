"""The search space: parsed once, then sampled, built into configurations, described."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from foldtune.errors import Problem, SpaceError
from foldtune.spaces.domains import Choice
from foldtune.spaces.entries import Entry, Parameter
from foldtune.spaces.parser import parse_entries
from foldtune.spaces.presets import merge_presets
from foldtune.spaces.scalars import Scalar
from foldtune.wording import unknown

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial


class ParameterRow(NamedTuple):
    """One line of a table of the space."""

    name: str
    kind: str
    range: str
    condition: str


@dataclass(frozen=True)
class Space:
    """Parameters that are sampled and constants, some of them only inside a branch of a choice.

    Flat names are key paths (`lr`, `postprocess.prior_power`); inside a branch `<key>.<branch>.<parameter>`
    (`loss.focal.gamma`), the same as Optuna and the leaderboard show.

    >>> losses = {"cross_entropy": None, "focal": {"gamma": {"uniform": [0, 3]}}}
    >>> space = Space.parse({"lr": {"loguniform": [1e-4, 1e-2]}, "loss": {"choice": losses}})
    >>> space.build({"lr": 0.001, "loss": "focal", "loss.focal.gamma": 1.5})
    {'lr': 0.001, 'loss': {'name': 'focal', 'gamma': 1.5}}
    """

    entries: tuple[Entry, ...]

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> Space:
        """Read a nested mapping, as YAML gives it.

        A value is a constant or a mapping with one kind: `{uniform: [low, high]}`, `{loguniform: …}`,
        `{int: …}`, `{logint: …}` (bounds inclusive), `{choice: [value, …]}` or
        `{choice: {branch: {parameter: value, …}, other: null}}`. Beside a kind may stand `default: value`,
        (uniform, int) `step: width`, and (all but choice) `grid: [value, …]`, the values of a grid search. Dotted keys
        equal nested ones. A `preset:` at the top (a name or a list) is where the space starts from; a key of one's
        own replaces the preset's whole key.

        Raises SpaceError with every problem found.
        """
        if not isinstance(mapping, Mapping):
            raise SpaceError([Problem("", f"a space is a mapping of parameters, got {mapping!r}")])
        merged, preset_problems = merge_presets(mapping)
        entries, problems = parse_entries(merged)
        if preset_problems or problems:
            raise SpaceError((*preset_problems, *problems))
        return cls(entries)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Sampled values, a choice before the parameters of its branches."""
        return tuple(entry for entry in self.entries if isinstance(entry, Parameter))

    @property
    def is_conditional(self) -> bool:
        """Whether a parameter is sampled only in a branch."""
        return any(parameter.location.conditions for parameter in self.parameters)

    def names(self) -> tuple[str, ...]:
        """Return the flat names of the parameters of all branches."""
        return tuple(parameter.name for parameter in self.parameters)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's distribution of each parameter of all branches."""
        return {parameter.name: parameter.domain.distribution() for parameter in self.parameters}

    def suggest(self, trial: BaseTrial) -> dict[str, Scalar]:
        """Return the parameters of one configuration by dotted name, suggested by `trial`: those of active branches."""
        values: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if parameter.location.active(values):
                values[parameter.name] = parameter.domain.suggest(trial, parameter.name)
        return values

    def build(self, params: Mapping[str, object]) -> dict[str, Any]:
        """Return the nested configuration of flat `params`, with constants; a branch becomes `{name: branch, …}`.

        Raises SpaceError where a parameter is missing, unknown, out of range, or of a branch not taken.
        """
        values = self._validated(params)
        config: dict[str, Any] = {}
        for entry in self.entries:
            if entry.location.active(values):
                value = values[entry.name] if isinstance(entry, Parameter) else entry.value
                _put(config, entry.location.keys, dict(value) if isinstance(value, Mapping) else value)
        return config

    def default(self) -> dict[str, Scalar]:
        """Return the flat parameters of the default configuration.

        Without a `default:` of its own, a choice takes its first value and a range its middle (for log kinds
        the geometric mean), rounded to few digits.
        """
        return self.completed({})

    def completed(self, chosen: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return flat parameters with the values in `chosen`, where they are active, and defaults for the others."""
        values: dict[str, Scalar] = {}
        for parameter in self.parameters:
            if parameter.location.active(values):
                values[parameter.name] = chosen.get(parameter.name, parameter.domain.default)
        return values

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """Yield the flat parameters of every combination of the domains' `grid_values`; a later parameter varies first.

        Yields none where a domain has no such values.
        """
        yield from self._combinations({}, self.parameters)

    def _combinations(self, values: dict[str, Scalar], rest: Sequence[Parameter]) -> Iterator[dict[str, Scalar]]:
        place = next((n for n, each in enumerate(rest) if each.location.active(values)), None)
        if place is None:
            yield values
            return
        for value in rest[place].domain.grid_values():
            yield from self._combinations({**values, rest[place].name: value}, rest[place + 1 :])

    def fitted(self, config: Mapping[str, Any]) -> tuple[dict[str, Scalar], dict[str, str]]:
        """Return the flat parameters of the configuration that is nearest to a nested one, perhaps of another space.

        What the other lacks takes its default, and so does a value outside of its domain: by name, why.
        """
        values: dict[str, Scalar] = {}
        outside: dict[str, str] = {}
        for parameter in self.parameters:
            name, domain = parameter.name, parameter.domain
            if not parameter.location.active(values):
                continue
            values[name] = domain.default
            given = value_at(config, parameter.location.keys, domain.default)
            try:
                values[name] = domain.validate(given)
            except ValueError as error:
                outside[name] = str(error)
        return values, outside

    def corner_cases(self) -> Iterator[tuple[str, dict[str, Scalar]]]:
        """Yield configurations that together contain each branch, each value of a choice and both ends of each range.

        Pairs of a flat name and flat parameters: first the default configuration, under an empty name, then
        the default with the named parameter moved and the branches taken that lead to it. None comes twice.
        """
        seen = {frozenset(self.default().items())}
        yield "", self.default()
        for parameter in self.parameters:
            for value in parameter.domain.corners():
                case = self.completed({**dict(parameter.location.conditions), parameter.name: value})
                if (key := frozenset(case.items())) not in seen:
                    seen.add(key)
                    yield parameter.name, case

    def without(self, name: str, values: Collection[Scalar]) -> Space:
        """Return the space whose choice of a flat name lacks some values; the first that is left may become default.

        Raises:
            ValueError: none is left.

        >>> space = Space.parse({"model_name": {"choice": ["resnet10t", "resnet18", "test_vit"]}})
        >>> space.without("model_name", {"resnet10t"}).default()
        {'model_name': 'resnet18'}
        """
        return Space(tuple(_without(entry, values) if entry.name == name else entry for entry in self.entries))

    def describe(self) -> tuple[ParameterRow, ...]:
        """Return the rows of a table, constants included, in the order of the space."""
        return tuple(
            ParameterRow(entry.name, entry.domain.kind, entry.domain.describe(), entry.location.condition())
            if isinstance(entry, Parameter)
            else ParameterRow(entry.name, "constant", entry.describe(), entry.location.condition())
            for entry in self.entries
        )

    def _validated(self, params: Mapping[str, object]) -> dict[str, Scalar]:
        values: dict[str, Scalar] = {}
        problems: list[Problem] = []
        for parameter in self.parameters:
            name, location = parameter.name, parameter.location
            if not location.active(values):
                # A parent that is itself missing or wrong is reported; its branches cannot be checked then.
                if name in params and all(parent in values for parent, _ in location.conditions):
                    problems.append(Problem(name, f"counts only with {location.condition()}, not chosen here"))
            elif name not in params:
                problems.append(Problem(name, f"missing; valid: {parameter.domain.describe()}"))
            else:
                try:
                    values[name] = parameter.domain.validate(params[name])
                except ValueError as error:
                    problems.append(Problem(name, str(error)))
        names = self.names()
        problems += [Problem(name, unknown("parameter", name, names)) for name in params if name not in names]
        if problems:
            raise SpaceError(problems)
        return values


def value_at(config: Mapping[str, Any], keys: Sequence[str], absent: Any = None) -> Any:
    """Return the value at keys of a nested configuration; a branch without parameters may stand as its name alone."""
    value: Any = config
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, absent)
        elif key != "name":
            return absent
    return value["name"] if isinstance(value, Mapping) and set(value) == {"name"} else value


def _without(entry: Entry, values: Collection[Scalar]) -> Entry:
    if not isinstance(entry, Parameter) or not isinstance(entry.domain, Choice):
        return entry
    left = tuple(value for value in entry.domain.values if value not in values)
    if not left:
        raise ValueError(f"{entry.name}: no value is left")
    default = entry.domain.default if entry.domain.default in left else left[0]
    return replace(entry, domain=replace(entry.domain, values=left, default=default))


def _put(config: dict[str, Any], location: tuple[str, ...], value: object) -> None:
    *sections, key = location
    for section in sections:
        config = config.setdefault(section, {})
    config[key] = value
