"""A command reads its YAML file and the training table once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune import csv_files
from foldtune.search.config import loading

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of reads by file name, of texts and of tables."""
    counts: Counter[str] = Counter()
    read_text, read_table = loading.read_yaml_text, csv_files._read

    def counting_text(path: Path) -> str:
        counts[path.name] += 1
        return read_text(path)

    def counting_table(path: Path) -> bytes:
        counts[path.name] += 1
        return read_table(path)

    monkeypatch.setattr(loading, "read_yaml_text", counting_text)
    monkeypatch.setattr(csv_files, "_read", counting_table)
    return counts


def test_validate(project: Any, foldtune: Command, reads: Counter[str]) -> None:
    config = Path(project.config())
    code, _, err = foldtune("validate", str(config))
    assert code == 0, err
    assert (reads[config.name], reads["train.csv"]) == (1, 1)


def test_preview(project: Any, foldtune: Command, reads: Counter[str]) -> None:
    config = Path(project.config())
    code, _, err = foldtune("preview", str(config), "-o", "sheet.png", "--rows", "1")
    assert code == 0, err
    assert (reads[config.name], reads["train.csv"]) == (1, 1)


def test_start_of_a_search(
    project: Any, foldtune: Command, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldtune.search.cli.handlers.search import local

    monkeypatch.setattr(local, "_search", lambda *arguments: None)
    config = Path(project.config())
    code, _, err = foldtune("search", str(config))
    assert code == 0, err
    assert (reads[config.name], reads["train.csv"]) == (1, 1)
