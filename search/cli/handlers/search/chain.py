"""`foldtune run`: search, folds, vote, submission and report in one command, inside of a time."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from foldtune.durations import moment_of
from foldtune.errors import InputError, TimeTooShort
from foldtune.results.tables.formatting import duration_text
from foldtune.search.cli.handlers.search.search import SearchRequest, remote_search
from foldtune.search.cli.options import seconds
from foldtune.search.cli.remote.command import remote_address, run_remote
from foldtune.search.cli.terminal import note
from foldtune.search.config.packaging import RESUME_COMMAND, leave_job_folder
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_config

if TYPE_CHECKING:
    from foldtune.search.assess.forecast import Forecast


@dataclass(frozen=True)
class RunRequest:
    """The arguments of `foldtune run`.

    Attributes:
        search: those that it shares with `foldtune search`.
        time_limit: running time of all of it.
        deadline: moment at which it is to end.
    """

    search: SearchRequest
    time_limit: str | None = None
    deadline: str | None = None
    file: Path | None = None
    dry_run: bool = False

    def ends_at(self) -> datetime | None:
        """Return the deadline with its offset, None without one. Raises InputError."""
        try:
            return None if self.deadline is None else moment_of(self.deadline, datetime.now().astimezone())
        except ValueError as error:
            raise InputError(f"--deadline: {error}") from None

    def own_flags(self, ends_at: datetime | None) -> list[str]:
        """Return the flags beside those of a search, with a deadline that means the same anywhere and any day."""
        deadline = None if ends_at is None else ends_at.isoformat(timespec="seconds")
        flags: Mapping[str, object] = {"--time-limit": self.time_limit, "--deadline": deadline, "--output": self.file}
        return [part for flag, value in flags.items() if value is not None for part in (flag, str(value))]


def _seconds_left(limit_s: float | None, ends_at: datetime | None) -> float:
    to_end_s = math.inf if ends_at is None else ends_at.timestamp() - time.time()
    return min(math.inf if limit_s is None else limit_s, to_end_s)


def dry_run(request: RunRequest, left_s: float) -> None:
    """Print the forecast of the chain, and whether it fits into the time. Raises TimeTooShort where nothing does."""
    from foldtune.search.cli.handlers.prepare.config import print_forecast  # heavy: what trains

    file = read_config_file(request.search.config, request.search.override, request.search.flags)
    found = [print_forecast(checked) for checked in check_config(file)]
    wanted = [(each.search_s or 0.0) + (each.folds_s or 0.0) for each in found]
    if not math.isfinite(left_s):
        return
    require_first_trial(found, left_s)
    whole = "all of it fits" if sum(wanted) <= left_s else "trials give way first, then views, finalists, folds, epochs"
    note(f"{duration_text(left_s)} for {duration_text(sum(wanted))} as configured: {whole}")


def require_first_trial(forecasts: Sequence[Forecast], left_s: float) -> None:
    """Raise TimeTooShort where the first trials, one of each target, do not reach their first rungs in time."""
    least_s = sum(each.first_s or 0.0 for each in forecasts)
    if least_s > left_s:
        raise TimeTooShort(
            f"{duration_text(left_s)} are too little: a first trial takes about {duration_text(least_s)} to its first "
            f"rung; give {math.ceil(1.2 * least_s)}s or more"
        )


__all__ = ["RunRequest", "run_chain_command"]


def run_chain_command(request: RunRequest) -> None:
    """Run the chain here, or send it to a cluster."""
    limit_s, ends_at = seconds(request.time_limit), request.ends_at()
    if ends_at is not None and ends_at.date() != datetime.now(ends_at.tzinfo).date():
        note(f"--deadline {request.deadline}: that is {ends_at:%A, %Y-%m-%d %H:%M %z}")
    if request.search.shows_password:
        note("--set: every user of this machine can see a password on a command line (ps); write ${VARIABLE} for it")
    again = [*shlex.split(request.search.resume_command()), *request.own_flags(ends_at)]
    resume_command = shlex.join(["foldtune", "run", *again[2:]])
    if request.dry_run:
        dry_run(request, _seconds_left(limit_s, ends_at))
        return
    remote = remote_address(request.search.address)
    if remote is not None:
        if request.file is not None:
            raise InputError("--output: a job writes its submission into the run's folder, STORAGE/NAME/submission.csv")
        command = remote_search(request.search)
        sent = ["run", *command.arguments[1:], *request.own_flags(ends_at)]
        run_remote(
            remote,
            replace(command, arguments=sent, resume_command=resume_command),
            allow_no_token=request.search.allow_no_token,
        )
        return
    # Heavy: Ray Tune, which a command that runs on a cluster does not need here.
    from foldtune.search.cli.handlers.search.chain_here import run_here

    config = leave_job_folder(request.search.config)
    ends_at_s = None if ends_at is None else ends_at.timestamp()
    run_here(config, request, os.environ.get(RESUME_COMMAND, resume_command), limit_s, ends_at_s)
