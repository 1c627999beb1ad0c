"""`--tta` with and without a value, up to what the commands make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.main import run
from search.cli.views import spelled_out


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["skin", "--tta"], ["skin", "--tta", "flips"]),
        (["skin", "--tta", "-o", "f.csv"], ["skin", "--tta", "flips", "-o", "f.csv"]),
        (["skin", "--tta", "hflip"], ["skin", "--tta", "hflip"]),
        (["skin", "--tta=all", "--top", "2"], ["skin", "--tta=all", "--top", "2"]),
        (["skin"], ["skin"]),
    ],
)
def test_bare_views_are_flips(given: list[str], meant: list[str]) -> None:
    assert spelled_out(given) == meant


@pytest.mark.parametrize(
    "command", [["ensemble", "nosuch", "--tta"], ["predict", "nosuch", ".", "-o", "f.csv", "--tta"]]
)
def test_commands_take_a_bare_flag(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(command) == 2
    assert "nosuch" in capsys.readouterr().err
