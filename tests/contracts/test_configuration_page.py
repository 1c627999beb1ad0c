"""The page of the configuration's keys is that of the code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_current_and_every_key_has_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    import configuration_page

    from foldtune.trainers.settings import TrialSettings

    assert set(configuration_page.SETTINGS) == {field.name for field in dataclasses.fields(TrialSettings)}
    page = configuration_page.page()
    assert page == (DOCS / "configuration.md").read_text(encoding="utf-8"), "run python docs/configuration_page.py"
    without = [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]
    assert without == []
