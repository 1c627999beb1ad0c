"""A command on a cluster's head through Ray Client (`ray://HOST:10001`), its output printed here."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ray

from foldtune.cluster.access.addresses import Address, require_answer
from foldtune.cluster.access.tokens import require_token
from foldtune.cluster.ray_internals import reload_auth_mode
from foldtune.cluster.shipping import runtime_env
from foldtune.errors import ClusterError
from foldtune.files import write_content
from foldtune.redaction import redacted
from foldtune.signals import own_signals

POLL_S = 0.5
PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process gets when its parent dies."""
TASK_LIMITS = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "RAY_JOB_ID")
"""Variables that Ray sets for an actor, and that the actor's command must not inherit."""


class Command:
    """`foldtune ARGUMENTS` as a process on the cluster: owned by an actor, whose end it does not survive.

    Args:
        files: contents by name, written into its working directory.
        environment: variables added to those of the actor.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        files: Mapping[str, str | bytes],
        environment: Mapping[str, str],
        address: str,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="foldtune-")
        for name, content in files.items():
            write_content(Path(self._folder.name, name), content)
        inherited = {name: value for name, value in os.environ.items() if name not in TASK_LIMITS}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "foldtune.search.cli", *arguments],
            cwd=self._folder.name,
            env={**inherited, "RAY_ADDRESS": address, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_restore_signals,
        )
        self._printed = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def printed(self, start: int) -> tuple[str, int | None]:
        """Return its output from character `start` on, and its exit code once it has ended and all is read."""
        ended = not self._reader.is_alive()
        return self._printed[start:], self._process.wait() if ended else None

    def interrupt(self) -> None:
        """Send Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._printed += line


def run_on_head(
    address: Address,
    arguments: Sequence[str],
    files: Mapping[str, str | bytes],
    environment: Mapping[str, str],
    write: Callable[[str], object],
    *,
    allow_no_token: bool = False,
) -> int:
    """Run `foldtune ARGUMENTS` on the cluster and write its output; Ctrl-C stops it there. Return its exit code.

    It is stopped in the same way where this process dies, once Ray Client has timed out.

    Args:
        write: callback with each new piece of output.

    Raises:
        ClusterError: no cluster answers, it is not to be trusted, or the actor of the command is lost.
    """
    require_answer(address)
    require_token(address, allow_no_token=allow_no_token)
    reload_auth_mode()
    try:
        with own_signals():
            ray.init(address.text, runtime_env=runtime_env(), log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address.text!r}: {redacted(' '.join(str(error).split()))[:300]}"
        ) from None
    try:
        inside = ray.get_runtime_context().gcs_address
        actor = ray.remote(num_cpus=0, runtime_env={"env_vars": {"RAY_WORKER_NICENESS": "0"}})(Command)
        command = actor.remote(list(arguments), dict(files), dict(environment), inside)
        return _watch(command, write)
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(
            f"the cluster lost the command: {reason}; what it stored is kept, --resume goes on"
        ) from None
    finally:
        ray.shutdown()


def _watch(command: object, write: Callable[[str], object]) -> int:
    read, code = 0, None
    while code is None:
        try:
            text, code = ray.get(command.printed.remote(read))  # type: ignore[attr-defined]
            if text:
                write(text)
                read += len(text)
            if code is None:
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            ray.get(command.interrupt.remote())  # type: ignore[attr-defined]
    return int(code)


def _restore_signals() -> None:
    """In the new process: unblock Ctrl-C, which Ray blocks in its workers, and send one when the actor dies."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
