"""`foldtune search`: where it runs, and what it starts or resumes."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.redaction import redacted
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import note
from foldtune.search.config.loading import check
from foldtune.search.config.packaging import CONFIG, RESUME_COMMAND, leave_job_folder, pack_job, search_arguments
from foldtune.search.config.secrets import has_password, masked
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_targets
from foldtune.search.runs.trusted_metrics import record_metric
from foldtune.search.runs.validation import check_run
from foldtune.spaces import Space


@dataclass(frozen=True)
class SearchRequest:
    """The arguments of `foldtune search`."""

    config: Path
    override: tuple[str, ...] = ()
    name: str | None = None
    storage: str | None = None
    trials: int | None = None
    address: str | None = None
    allow_no_token: bool = False
    resume: bool = False
    data: Path | None = None
    retry_failed: bool = False
    time_limit: str | None = None
    from_runs: tuple[str, ...] = ()

    @property
    def flags(self) -> dict[str, Any]:
        """Values of the configuration that flags set, by key path; None where a flag is not given."""
        trials = None if self.resume else self.trials
        root = None if self.data is None else str(self.data.expanduser().absolute())
        own = {"search.num_samples": trials, "search.time_limit": self.time_limit, "data.root": root}
        return {"name": self.name, "storage": self.storage, **own}

    @property
    def further_trials(self) -> int:
        """Trials to add to a run that is resumed."""
        return self.trials or 0 if self.resume else 0

    @property
    def shows_password(self) -> bool:
        """Whether a password stands in a flag, where every user of the machine sees it while the command runs."""
        values = [text.partition("=")[2] for text in self.override]
        return any("://" in value and has_password(value) for value in values)

    def resume_command(self) -> str:
        """Return the command line that goes on with the run, to the number of trials that it has by then.

        Passwords in it are to be given again.
        """
        data = None if self.data is None else str(self.data)
        options = {"--name": self.name, "--storage": self.storage, "--address": self.address, "--data": data}
        options["--time-limit"] = self.time_limit
        given = [part for option, value in options.items() if value is not None for part in (option, value)]
        sets = [part for text in self.override for part in ("--set", _without_password(text))]
        if self.trials is not None and not self.resume:  # with --resume, --trials are further ones
            sets += ["--set", f"search.num_samples={self.trials}"]
        trust = ["--allow-no-token"] if self.allow_no_token else []
        return shlex.join(["foldtune", "search", str(self.config), *sets, *given, *trust, "--resume"])


def _without_password(override: str) -> str:
    key, equals, value = override.partition("=")
    return key + equals + (masked(value) if "://" in value else redacted(value))


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
    from foldtune.search.cli.handlers.search.local import search_here

    resume_command = os.environ.get(RESUME_COMMAND, request.resume_command())
    search_here(leave_job_folder(request.config), request, resume_command)


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
    for name, content in package.files.items():
        if name.endswith(".py") and isinstance(content, str):  # a metric of this user's own, trusted here, too
            record_metric(content)
    sent = search_arguments(
        CONFIG,
        resume=request.resume,
        further_trials=request.further_trials,
        retry_failed=request.retry_failed,
        from_runs=request.from_runs,
    )
    return RemoteCommand(sent, package.config, package.run, package.storage, request.resume_command(), package.files)
