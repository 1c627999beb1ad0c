"""`--format`: one that a command does not have is refused before anything is looked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

COMMANDS = [
    ("ensemble", "nosuch"),
    ("score", "nosuch", "--labels", "nosuch.csv"),
    ("gate", "nosuch", "nosuch.yaml"),
    ("promote", "nosuch", "--to", "model"),
    ("report", "nosuch", "-o", "report"),
    ("compare", "nosuch", "nosuch"),
    ("thresholds", "nosuch"),
    ("results", "nosuch"),
    ("runs",),
    ("cluster", "status"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_unknown_format_is_refused_first(
    command: tuple[str, ...],
    foldtune: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = foldtune(*command, "--format", "jsn")
    assert (code, out) == (2, "")
    assert "--format" in err
    assert "'table'" in err
    assert "'json'" in err
    assert "nosuch" not in err
    assert not list(tmp_path.iterdir())
