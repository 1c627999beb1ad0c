"""A command whose cluster's head is gone ends by itself, and says what to do."""

from __future__ import annotations

import socket
import subprocess
import sys

WATCHES = """
import sys
from foldtune.search.faults import head_monitor as headwatch

headwatch.LOOK_EVERY_S, headwatch.GONE_AFTER_S = 0.1, 0.3
with headwatch.watching_head(sys.argv[1], "the head is gone: go on with --resume"):
    print("watching", flush=True)
    sys.stdin.read()
"""


def watching(address: str) -> subprocess.Popen[str]:
    """A process that waits for the end of its input, as one that waits for Ray."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WATCHES, address]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "watching\n"
    return process


def test_ends_with_1_and_says_what_to_do_once_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        process = watching(f"127.0.0.1:{head.getsockname()[1]}")
        for _ in range(3):
            head.accept()[0].close()  # it looks again and again
        assert process.poll() is None
    assert process.wait(60) == 1
    assert process.stderr is not None
    assert process.stderr.read().strip() == "error: the head is gone: go on with --resume"


def test_leaves_a_command_alone_whose_head_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        process = watching(f"127.0.0.1:{head.getsockname()[1]}")
        for _ in range(8):  # longer than it waits for an answer
            head.accept()[0].close()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
