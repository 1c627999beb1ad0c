"""What users' texts do to a terminal: nothing. They are shown as they are, in lines, tables, live views and errors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from foldtune.search.cli.terminal import TextConsole, frame_rows, note, plain, print_csv, print_json, shown

Command = Callable[..., tuple[int, str, str]]
MARKUP = (
    "[/]",
    "[other]",
    "[bold red]x[/bold red]",
    "runs [old]",
    "x[",
    "[/b]",
    ":smile:",
    "[link=x]y[/link]",
    r"\[a]",
)
EVIL = "a\x1b[2J\x1b]0;owned\x07b\x9b31mc\x08\r\x7f"


def printed(renderable: Any, **options: Any) -> str:
    file = io.StringIO()
    TextConsole(file).print(renderable, **options)
    return file.getvalue()


def table_of(text: str) -> Table:
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_row(text)
    return table


@pytest.mark.parametrize("text", MARKUP)
def test_no_text_is_markup(text: str) -> None:
    assert printed(text, soft_wrap=True, style="dim") == f"{text}\n"
    for renderable, times in ((table_of(text), 4), (Group(text, Text(text)), 2), (Panel(text), 1)):
        assert printed(renderable).replace("\n", "").count(text) == times


@pytest.mark.parametrize("make", [str, Text, table_of, Panel])
def test_control_characters_are_shown(make: Callable[[str], Any]) -> None:
    file = io.StringIO()
    console = TextConsole(file)
    console.print(make(EVIL), width=200)
    assert shown(EVIL) == "a␛[2J␛]0;owned␇b\\x9b31mc␈␍␡"
    assert "a␛[2J␛]0;owned" in file.getvalue()  # rich drops some by itself
    assert "b\\x9b31mc" in file.getvalue()
    assert not set("\x1b\x07\x9b\x08\r\x7f") & set(file.getvalue())


def test_own_colours_and_live_views_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = io.StringIO()
    console = TextConsole(file)
    with Live(Text("evil \x1b[2J", style="red"), console=console, auto_refresh=False) as live:
        live.refresh()
    assert "\x1b[31m" in file.getvalue()
    assert "\x1b[?25l" in file.getvalue()  # the cursor is hidden meanwhile
    assert "evil ␛[2J" in file.getvalue()
    assert "\x1b[2J" not in file.getvalue()


def test_logs_of_others_lose_their_colours_alone() -> None:
    assert plain("\x1b[36m(worker pid=7)\x1b[0m 50%\r\n") == "(worker pid=7) 50%␍\n"


def test_json_is_the_same_value_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": EVIL + "ü"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": EVIL + "ü"}
    assert not set("\x1b\x07\x9b\x7f") & set(out)
    print_csv(pd.DataFrame({"a": [EVIL]}))
    assert EVIL[:5] in capsys.readouterr().out  # no terminal: the value as it is
    note("[/b] of a note")
    assert capsys.readouterr().err == "[/b] of a note\n"


@pytest.mark.parametrize("label", ["x[/]", "x[other]", "\x1b[31mred"])
def test_class_names_in_the_summary(project: Any, foldtune: Command, label: str) -> None:
    rows = [(name, label if klass == "c0" else klass) for name, klass in project.rows]
    project.table(rows, "train.csv")
    code, out, _ = foldtune("validate", project.config())
    assert code == 0
    assert shown(label).removesuffix("red") in out
    assert "\x1b" not in out


@pytest.mark.parametrize("name", ["runs [old]", "x[/b]", "[/]"])
def test_brackets_in_paths(project: Any, foldtune: Command, name: str) -> None:
    store = project.stored_run()
    Path(name).mkdir(parents=True)
    code, out, _ = foldtune("results", str(store.root))
    assert code == 0
    moved = store.root.rename(Path(name) / "tiny")
    code, out, err = foldtune("leaderboard", str(moved), "--output", f"{name}/board.csv")
    assert (code, out, err) == (0, "", f"3 trials in {name}/board.csv\n")
    code, _, err = foldtune("results", f"{name}/absent")
    assert code == 2
    assert name in err


def test_wrong_usage_is_shown_as_it_is(foldtune: Command) -> None:
    for argument in ("--[/b]", "--x\x1b[2J", "--y\x9b2J"):
        code, _, err = foldtune("results", "tiny", argument)
        assert code == 2
        assert not {"\x1b", "\x9b"} & set(err)
        assert argument[:4].rstrip("\x1b\x9b") in err


def test_half_a_character_in_a_frame_is_escaped_in_json() -> None:
    assert frame_rows(pd.DataFrame({"error": ["\ud800", "a"], "rank": [1, 2]}, dtype=object)) == [
        {"error": "\\ud800", "rank": 1},
        {"error": "a", "rank": 2},
    ]
