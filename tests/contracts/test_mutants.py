"""The faults of `make mutants` still fit the code that they change."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_each_fault_has_one_place_and_tests_and_is_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests/mutants")
    from mutate import read_mutants

    mutants = read_mutants()
    assert len(mutants) >= 40
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        ast.parse(mutant.source())
        assert mutant.tests, mutant.name
        assert all((ROOT / each).is_file() for each in mutant.tests), mutant.name
