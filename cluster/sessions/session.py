"""Ray sessions: an embedded Ray by default, or a running cluster by its address."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from foldtune.cluster.access.addresses import Address, parse_address, require_answer
from foldtune.cluster.access.tokens import ensure_local_token, require_token
from foldtune.cluster.ray_internals import reload_auth_mode
from foldtune.cluster.sessions import embedded
from foldtune.cluster.shipping import in_job, runtime_env
from foldtune.errors import ClusterError, StartFailed
from foldtune.redaction import redacted
from foldtune.signals import own_signals

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # our own table is the output
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # search.tuning.tuner stops the search itself
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # Ray's CSV logger drops keys absent from the first report
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a failed trial reports its reason and no metric
    "TUNE_MAX_PENDING_TRIALS_PG": "10000",  # else workers start one after another; the searcher bounds them by slots
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # foldtune's store is the record, not Ray's snapshots
}
"""Environment that Ray reads at import or start; a variable that is already set stays."""


@contextmanager
def session(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    allow_no_token: bool = False,
) -> Iterator[None]:
    """Connect to Ray for the duration of a `with` block.

    Args:
        address: None for the session that this process has already, which is left running, or else an embedded Ray on
            this machine, which has no dashboard, requires a token of every caller, listens on loopback alone, keeps
            its files in a private folder and is stopped at the end; `auto` or `host:port` for a running cluster, which
            is left running and gets a copy of this process' code.
        num_cpus: number of CPUs of the embedded Ray; all by default.
        num_gpus: number of GPUs of the embedded Ray; all by default.
        allow_no_token: whether to join a running cluster that others reach and that requires no token.

    Raises:
        ClusterError: no cluster answers at `address`, or it is not to be trusted.
        StartFailed: the embedded Ray does not start.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    joined = None if address is None else _trusted_address(address, allow_no_token)
    if joined is None:
        ensure_local_token()
    reload_auth_mode()
    import ray  # after the environment that it reads at import

    if joined is None and ray.is_initialized():
        yield
        return
    with ExitStack() as stack:
        try:
            if joined is None:
                folder = stack.enter_context(embedded.session_folder())
                stack.callback(ray.shutdown)  # of a start that is interrupted, too
                embedded.start(num_cpus, num_gpus, folder)
            else:
                # A job's code came with the job; its workers inherit it.
                code = None if in_job() else runtime_env()
                stack.callback(ray.shutdown)
                with own_signals():
                    ray.init(address=joined.text, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # where Ray's own processes do not come up, it raises a bare Exception
            reason = redacted(" ".join(str(error).split()))[:300]
            if address is None:
                raise StartFailed(f"Ray cannot start on this machine: {reason}") from error
            raise ClusterError(f"no Ray cluster answers at {address!r}: {reason}") from error
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        yield


def _trusted_address(given: str, allow_no_token: bool) -> Address:
    address = parse_address(given)
    if address.kind != "cluster":
        raise ClusterError(
            f"address {given!r}: this command joins a cluster from one of its own machines: write auto, or HOST:PORT "
            "of the head, often HOST:6379"
        )
    require_answer(address)
    if not in_job():  # checked when the job was submitted
        require_token(address, allow_no_token=allow_no_token)
    return address
