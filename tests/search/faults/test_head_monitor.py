"""A command whose cluster's head is lost ends by itself, with a message of what to do."""

from __future__ import annotations

import socket
import subprocess
import sys

SCRIPT = """
import sys
from foldtune.search.faults import head_monitor as module

module.CHECK_INTERVAL_S, module.LOST_AFTER_S = 0.1, 0.3
with module.head_monitor(sys.argv[1], "the head is gone: go on with --resume"):
    print("watching", flush=True)
    sys.stdin.read()
"""


def monitored(address: str) -> subprocess.Popen[str]:
    """A process that waits for the end of its input, as one that waits for Ray."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SCRIPT, address]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "watching\n"
    return process


def test_the_command_ends_with_1_and_the_message_once_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        process = monitored(f"127.0.0.1:{head.getsockname()[1]}")
        for _ in range(3):
            head.accept()[0].close()  # it checks again and again
        assert process.poll() is None
    assert process.wait(60) == 1
    assert process.stderr is not None
    assert process.stderr.read().strip() == "error: the head is gone: go on with --resume"


def test_a_command_whose_head_answers_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as head:
        process = monitored(f"127.0.0.1:{head.getsockname()[1]}")
        for _ in range(8):  # longer than it waits for an answer
            head.accept()[0].close()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
