"""Outputs of any encoding, without a reader, closed from the start, or full."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune.search.cli.main import main, run
from foldtune.search.cli.streams import expendable, is_unicode, prepare_streams
from foldtune.search.cli.terminal import errors, note, output, print_json

Command = Callable[..., tuple[int, str, str]]


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


@pytest.mark.parametrize(
    ("encoding", "name", "found"),
    [
        ("ascii", "Ölbaum – ▇", b"?lbaum ? ?"),
        ("iso-8859-1", "Ölbaum – ▇", b"\xd6lbaum ? ?"),
        ("utf-8", "Ölbaum \udcff", b"\xc3\x96lbaum \\udcff"),
        ("cp1252", "Ölbaum – 木", b"\xd6lbaum \x96 ?"),
    ],
)
def test_a_character_that_the_encoding_lacks_is_replaced(
    monkeypatch: pytest.MonkeyPatch, encoding: str, name: str, found: bytes
) -> None:
    out, err = stream(encoding), stream(encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    prepare_streams()
    output().print(name, soft_wrap=True)
    note(name)
    sys.stdout.write(f"{name}\n")
    assert out.buffer.getvalue() == found + b"\n" + found + b"\n"  # type: ignore[attr-defined]
    assert err.buffer.getvalue() == found + b"\n"  # type: ignore[attr-defined]


def test_json_needs_no_character_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream("ascii"))
    print_json({"a": "Ölbaum"})
    assert b"\\u00d6lbaum" in sys.stdout.buffer.getvalue()  # type: ignore[attr-defined]
    assert is_unicode(stream("utf-8"))
    assert not is_unicode(stream("latin-1"))
    assert not is_unicode(object())


def test_closed_streams_are_no_streams(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project.stored_run()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert run(["results", "tiny"]) == 0
    assert run(["results", "absent"]) == 2
    monkeypatch.undo()


class Pipe:
    """A stream of this process whose reader is gone."""

    def __init__(self) -> None:
        reader, self.descriptor = os.pipe()
        os.close(reader)
        self.file = os.fdopen(self.descriptor, "w")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_reader_that_is_gone_ends_no_work(
    project: Any, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    project.stored_run()
    monkeypatch.setattr(sys, name, Pipe().file)
    assert run(["results", "tiny", "--format", form]) == 0
    assert run(["leaderboard", "tiny", "--output", "board.csv"]) == 0
    assert run(["results", "absent"]) == 2
    assert len(Path("board.csv").read_text().splitlines()) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_output_is_a_failure_and_full_messages_are_none(
    project: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.stored_run()
    with monkeypatch.context() as context:
        context.setattr(sys, "stderr", os.fdopen(os.open("/dev/full", os.O_WRONLY), "w"))
        assert run(["leaderboard", "tiny", "--output", "board.csv"]) == 0
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", os.fdopen(os.open("/dev/full", os.O_WRONLY), "w"))
        with pytest.raises(SystemExit) as end:
            main(["results", "tiny"])
    assert end.value.code == 1
    assert "No space left on device" in capsys.readouterr().err


def test_a_connection_that_breaks_is_no_reader_that_is_gone(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldtune.search.cli.handlers.look import results

    def broken(*_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    project.stored_run()
    monkeypatch.setattr(results, "open_targets", broken)
    code, _, err = foldtune("results", "tiny")
    assert (code, "connection was closed" in err) == (1, True)


def test_messages_of_a_console_outlive_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Pipe().file)
    console = errors()
    for _ in range(3):
        console.print("x" * 100_000)
    assert expendable(sys.stderr).write("more") == 4
