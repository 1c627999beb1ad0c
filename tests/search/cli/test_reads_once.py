"""A command reads its YAML file and the training table once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of reads by file name, of texts and of tables."""
    counts: Counter[str] = Counter()
    read_text, read_csv = Path.read_text, pd.read_csv

    def counting_text(path: Path, *arguments: Any, **options: Any) -> str:
        counts[path.name] += 1
        return read_text(path, *arguments, **options)

    def counting_csv(path: Any, *arguments: Any, **options: Any) -> Any:
        counts[Path(str(path)).name] += 1
        return read_csv(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", counting_text)
    monkeypatch.setattr(pd, "read_csv", counting_csv)
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
