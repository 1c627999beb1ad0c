"""SIGTERM and SIGHUP end a command as Ctrl-C does; what is ignored at the start stays so."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from foldtune.signals import handled, interrupted_by_signals, leave_closed_terminal, own_signals


@pytest.fixture(autouse=True)
def _sighup_ends_a_process() -> Iterator[None]:
    """Also where the suite runs under nohup, which has every process below it ignore SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_and_the_old_answer_returns(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def interrupted() -> None:
        with interrupted_by_signals():
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert signal.getsignal(number) is before


def test_sigterm_while_ray_starts_interrupts_too() -> None:
    """Ray replaces the answer to SIGTERM by an exit with the signal's number before its start is over."""

    def start() -> None:
        with interrupted_by_signals(), own_signals():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        start()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_is_lost_while_ray_starts_interrupts_too(number: signal.Signals) -> None:
    """Ray forks while it starts: an exception in a callback of a fork is printed and forgotten."""
    after = []

    def start() -> None:
        with interrupted_by_signals(), own_signals():
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            except KeyboardInterrupt:
                after.append("forgotten")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert after == ["forgotten"]


def test_what_is_ignored_at_the_start_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        got: list[int] = []
        with interrupted_by_signals(), handled(lambda number, frame: got.append(number)):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_is_written_to_a_terminal_that_has_closed() -> None:
    main, side = pty.openpty()
    kept = [os.dup(1), os.dup(2)]
    try:
        os.dup2(side, 1)
        leave_closed_terminal()
        assert os.isatty(1), "one that is open stays"
        os.close(main)
        leave_closed_terminal()
        os.write(1, b"into nothing")
    finally:
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(side)


COMMAND = """
import time
from foldtune.search.cli.app import app
from foldtune.search.cli.main import main
app.command("wait")(lambda: (print("waits", flush=True), time.sleep(30)))
main(["wait"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_with_130(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "waits\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
