"""`--tta` with and without a value, up to what the commands make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune.search.cli.help import spelled_out
from foldtune.search.cli.main import run


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


def test_augmentation_not_given_again_is_reported(project: Any, foldtune: Callable[..., tuple[int, str, str]]) -> None:
    store = project.stored_run()
    hard = ("ensemble", "tiny", "--voting", "hard", "--top", "9", "--min-votes", "3")  # which two trials cannot give
    said = (
        "the ensemble of run 'tiny' has flips views; this one takes each configuration's own views: --tta flips keeps"
    )
    for views, asked, told in (("flips", (), True), ("flips", ("--tta",), False), (None, (), False)):
        store.ensemble.write({"tta": views})
        code, _, err = foldtune(*hard, *asked)
        assert (code, "only 2 trials" in err, said in err) == (2, True, told), err
    store.ensemble.json_path.write_text("{")
    assert "only 2 trials" in foldtune(*hard)[2]
