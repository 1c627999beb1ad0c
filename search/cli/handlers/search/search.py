"""`foldtune search`: where it runs, and what it starts or resumes."""

from __future__ import annotations

import os

from foldtune.search.cli.handlers.search.request import SearchRequest
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import note
from foldtune.search.config.loading import check
from foldtune.search.config.packaging import CONFIG, RESUME_COMMAND, leave_job_folder, pack_job, search_arguments
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_targets
from foldtune.search.runs.trusted_metrics import record_metric
from foldtune.search.runs.validation import check_run
from foldtune.spaces import Space

__all__ = ["SearchRequest", "run_search_command"]


def run_search_command(request: SearchRequest) -> None:
    """Search on this machine or from it, or send the search to a cluster."""
    if request.shows_password:
        note("--set: every user of this machine can see a password on a command line (ps); write ${VARIABLE} for it")
    remote = remote_address(request.address)
    if remote is not None:
        run_remote(remote, remote_search(request), allow_no_token=request.allow_no_token)
        return
    # Heavy: Ray Tune, which a search that runs on a cluster does not need here.
    from foldtune.search.cli.handlers.search.local import LocalSearch, search_here

    resume_command = os.environ.get(RESUME_COMMAND, request.resume_command())
    config = leave_job_folder(request.config)
    search_here(LocalSearch(config, request, resume_command))


def remote_search(request: SearchRequest) -> RemoteCommand:
    """Return the search as a command for a cluster, after what can be checked here is checked.

    Raises:
        InputError: the configuration is wrong, or holds a password.
    """
    config, override, flags = request.config, request.override, request.flags
    file = read_config_file(config, override, flags)
    several = file.targets
    checked = check(file.raw, file.folder) if several is None else several.config(next(iter(several.raws)))[0]
    # A path of the cluster's is checked by the job before it trains; what a stored run was started with holds already.
    if request.resume or not checked.data.train.is_file():
        Space.parse(checked.space)
    elif several is None:
        check_run(checked)
    else:
        check_targets(several)
    package = pack_job(file.raw, file.folder)
    for name, text in package.files.items():
        if name.endswith(".py"):  # a metric of this user's own, which what the job leaves may be computed by here, too
            record_metric(text)
    sent = search_arguments(
        CONFIG,
        resume=request.resume,
        further_trials=request.further_trials,
        retry_failed=request.retry_failed,
    )
    return RemoteCommand(sent, package.config, package.run, package.storage, request.resume_command(), package.files)
