"""Parser of a nested mapping into the entries of a space, and all problems of the mapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from foldtune.errors import Problem
from foldtune.spaces.entries import Constant, Entry, Location, Parameter
from foldtune.spaces.keys import nest
from foldtune.spaces.leaves import KINDS, OPTIONS, parse_domain
from foldtune.spaces.scalars import scalar
from foldtune.wording import unknown


def parse_entries(mapping: Mapping[Any, Any]) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    """Return the entries of `mapping`, a choice before its branches' parameters, and every problem in it."""
    parser = _Parser()
    parser.root(mapping)
    parser.check_names()
    return tuple(parser.entries), tuple(parser.problems)


class _Parser:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []

    def root(self, mapping: Mapping[Any, Any]) -> None:
        content = self._nested(mapping, "")
        reserved = [key for key in content if key in KINDS or key in OPTIONS]
        for key in reserved:
            self._problem(key, f"{key!r} belongs below the name of a parameter: {{lr: {{{key}: …}}}}")
        for key, value in content.items():
            if key not in reserved:
                self._node(value, Location().child(key))

    def check_names(self) -> None:
        for name, count in Counter(entry.name for entry in self.entries).items():
            if count > 1:  # possible only where a branch has a dot in its name
                self._problem(name, "names two parameters, since a branch has a dot in its name; rename one")

    def _node(self, value: object, location: Location) -> None:
        if isinstance(value, Mapping):
            self._mapping(value, location)
        elif isinstance(value, list | tuple):
            self._problem(
                location.name,
                "a list is not a value; write {choice: […]} to choose from it, or a range such as "
                f"{{uniform: [low, high]}}; kinds: {', '.join(KINDS)}",
            )
        else:
            self._constant(value, location)

    def _constant(self, value: object, location: Location) -> None:
        try:
            self.entries.append(Constant(location, scalar(value)))
        except ValueError as error:
            self._problem(location.name, str(error))

    def _mapping(self, mapping: Mapping[Any, Any], location: Location) -> None:
        content = self._nested(mapping, location.name)
        if any(key in KINDS for key in content):
            self._leaf(content, location)
        elif wrong := _wrong_kind(content):
            self._problem(location.name, unknown("kind", wrong, KINDS))
        elif stray := [key for key in OPTIONS if key in content]:
            given = " and ".join(map(repr, stray))
            self._problem(location.name, f"{given} without a kind; add one of {', '.join(KINDS)}")
        elif content:
            for key, value in content.items():
                self._node(value, location.child(key))
        elif not mapping:
            self.entries.append(Constant(location, {}))

    def _leaf(self, spec: Mapping[str, Any], location: Location) -> None:
        has_branches = isinstance(spec.get("choice"), Mapping)
        keys = (*location.keys, "name") if has_branches else location.keys
        try:
            self.entries.append(Parameter(replace(location, keys=keys), parse_domain(spec)))
        except ValueError as error:
            for message in error.args:
                self._problem(location.name, message)
        if has_branches:
            for branch, content in spec["choice"].items():
                self._branch(content, location.branch(str(branch)))

    def _branch(self, content: object, location: Location) -> None:
        if content is None:
            return
        if not isinstance(content, Mapping):
            self._problem(location.name, f"a branch holds a mapping of its parameters, or null, got {content!r}")
            return
        for key, value in self._nested(content, location.name).items():
            if key == "name":
                self._problem(location.child(key).name, "'name' is taken: it holds the branch; call it otherwise")
            elif key in KINDS or key in OPTIONS:
                self._problem(location.name, f"{key!r} belongs below the name of a parameter of this branch")
            else:
                self._node(value, location.child(key))

    def _nested(self, mapping: Mapping[Any, Any], path: str) -> dict[str, Any]:
        content, problems = nest(mapping, path)
        self.problems += problems
        return content

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


def _wrong_kind(content: Mapping[str, Any]) -> str | None:
    """Return the key that is a misspelt kind: the only one beside the options, with a value as a kind has.

    A list is no constant, so a similar name or an option beside it suffices; a mapping may be a section, so its key
    must be similar to `choice`, the one kind that takes a mapping.
    """
    candidates = [key for key in content if key not in OPTIONS]
    if len(candidates) != 1:
        return None
    (key,) = candidates
    if isinstance(content[key], list | tuple):
        has_options = len(content) > 1
        return key if has_options or get_close_matches(key, KINDS, n=1, cutoff=0.7) else None
    if isinstance(content[key], Mapping):
        return key if get_close_matches(key, ["choice"], cutoff=0.7) else None
    return None
