"""Ray sessions: an embedded one by default, or a running cluster by its address."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import ClusterError

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # our own table is the output
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # search.tuner stops the search itself
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # Ray's CSV logger drops keys absent from the first report
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial reports its reason and no metric
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # else workers start one after another; the searcher bounds them by slots
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # foldtune's store is the record, not Ray's snapshots
}
"""Environment that Ray reads at import or start; a variable that is already set stays."""

ANSWER_S = 5.0
"""Seconds in which the head of a running cluster must take a connection."""


@contextmanager
def session(address: str | None = None, *, num_cpus: int | None = None, num_gpus: int | None = None) -> Iterator[None]:
    """Connect to Ray for the length of a `with` block.

    Args:
        address: None for an embedded Ray on this machine, stopped at the end; `auto` or `host:port`
            for a running cluster, which is left running.
        num_cpus: CPUs of the embedded Ray; all by default.
        num_gpus: GPUs of the embedded Ray; all by default.

    Raises:
        ClusterError: no cluster answers at `address`.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address not in (None, "auto"):
        _require_answer(address)
    import ray  # after the environment that it reads at import

    try:
        if address is None:
            # "local": plain init would join, and refuse num_cpus, where some cluster runs already.
            ray.init(
                address="local",
                num_cpus=num_cpus,
                num_gpus=num_gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = f"no Ray cluster answers at {address!r}" if address else "Ray cannot start on this machine"
        raise ClusterError(f"{where}: {' '.join(str(error).split())[:300]}") from None
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Find out whether anything listens at HOST:PORT; Ray itself would try for many minutes.

    Raises:
        ClusterError: the address is none, or nothing answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise ClusterError(f"address {address!r}: write auto, or HOST:PORT of the cluster's head, often HOST:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClusterError(
            f"no Ray cluster answers at {address!r} ({reason}): is it up, and is the port the one of `ray start`?"
        ) from None
