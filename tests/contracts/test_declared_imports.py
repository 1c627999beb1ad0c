"""What the code imports is declared in pyproject.toml, and what is declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("search", "trainers", "spaces", "results", "cluster")
USER_EXTRAS = ("s3", "postgres", "dicom")
"""Extras of users; those of developers are no dependencies of the code."""
LOADED_BY_NAME = {
    "torchvision": "timm imports it, and its version has to fit torch's",
    "s3fs": "fsspec loads it for s3:// URLs",
    "psycopg": "SQLAlchemy loads it for postgresql:// URLs",
}
"""Declared distributions that no module imports, and why they are needed."""


def normalized(distribution: str) -> str:
    """Return a distribution's name as PEP 503 compares names.

    >>> normalized("Pydantic_core")
    'pydantic-core'
    """
    return re.sub(r"[-_.]+", "-", distribution).lower()


def sources() -> Iterator[Path]:
    yield from sorted((ROOT / "foldtune").glob("*.py"))
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported_names(source: str) -> set[str]:
    """Return the top-level names of all absolute imports, also of those inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@cache
def imports() -> Mapping[str, set[str]]:
    """Return the files that import a distribution, by its normalized name; the standard library is left out."""
    distributions = packages_distributions()
    found = defaultdict(set)
    for path in sources():
        for name in imported_names(path.read_text(encoding="utf-8")) - sys.stdlib_module_names - {"foldtune"}:
            assert name in distributions, f"{path.relative_to(ROOT)} imports {name}, which is not installed"
            # Several distributions may fill one package; any of them will do.
            options = sorted(normalized(each) for each in distributions[name])
            chosen = next((each for each in options if each in declared()), options[0])
            found[chosen].add(str(path.relative_to(ROOT)))
    return found


@cache
def declared() -> set[str]:
    """Return the normalized names of the dependencies and of the users' extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *(each for extra in USER_EXTRAS for each in extras[extra])]
    return {normalized(match[0]) for each in requirements if (match := re.match(r"[A-Za-z0-9._-]+", each))}


def test_an_import_inside_a_function_counts() -> None:
    source = "import a.b\nfrom . import c\ndef f():\n    from d.e import g\n"
    assert imported_names(source) == {"a", "d"}


def test_every_import_is_a_declared_dependency() -> None:
    undeclared = {name: sorted(files) for name, files in imports().items() if name not in declared()}
    assert undeclared == {}, "add them to [project] dependencies of pyproject.toml"


def test_every_declared_dependency_is_imported() -> None:
    unused = declared() - imports().keys() - LOADED_BY_NAME.keys()
    assert unused == set(), "take them out of pyproject.toml, or write down who loads them"


def test_every_declared_dependency_has_a_pinned_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normalized(line.partition("==")[0]) for line in lines if "==" in line}
    assert declared() - pinned == set()
