"""`foldtune logs` and `stop`."""

from __future__ import annotations

import signal
import socket
import sys
from dataclasses import dataclass

import psutil
import typer

from foldtune.cluster.access.trusted import remember_address, require_given
from foldtune.cluster.jobs import Job, JobServer
from foldtune.errors import InputError, JobNotFound, WorkError
from foldtune.results.runs.driver_file import Driver, read_driver
from foldtune.search.cli.remote.command import INTERRUPTED, exit_code, follow_log
from foldtune.search.cli.terminal import note, plain
from foldtune.wording import unknown

STOP_TIMEOUT_S = 300.0
"""Seconds that a search in a terminal has to end after its Ctrl-C."""


@dataclass(frozen=True)
class JobRequest:
    """The arguments by which `foldtune logs` and `stop` find a search; with `address` its job's id serves, too."""

    run: str
    storage: str
    address: str | None
    allow_no_token: bool


def show_log(request: JobRequest, *, follow: bool) -> None:
    """Print the output of the run's job so far; with `follow` until the job ends, and end as it does."""
    server, job = _job(request)
    if not follow:
        sys.stdout.write(plain(server.log(job.job_id)))
        return
    ended = follow_log(server, job.job_id)
    if ended is None:
        note(f"\njob {job.job_id} goes on")
        raise typer.Exit(INTERRUPTED)
    if code := exit_code(ended):
        raise typer.Exit(code)


def stop_search(request: JobRequest) -> None:
    """Interrupt the run's job, or its process on this machine, and wait until it has ended."""
    if request.address is None:
        driver, busy = _driver(request)
        if driver.job_id is None:
            _stop_process(request.run, driver, busy)
            return
    server, job = _job(request)
    if job.ended:
        note(f"job {job.job_id} has ended already: {job.state}")
        return
    note(f"stopping job {job.job_id} …")
    server.stop(job.job_id)
    note(f"job {job.job_id} has stopped; foldtune search CONFIG --resume goes on")


def _job(request: JobRequest) -> tuple[JobServer, Job]:
    """Return the job server of a run, and the run's last job there."""
    if request.address is None:
        driver, _ = _driver(request)
        if driver.job_id is None or driver.job_address is None:
            raise InputError(
                f"run {request.run!r} was searched in a terminal on {driver.host}, which showed its log; it has no job"
            )
        require_given(driver.job_address, request.run)
        server = JobServer(driver.job_address, allow_no_token=request.allow_no_token)
        return server, server.job(driver.job_id)
    server = JobServer(request.address, allow_no_token=request.allow_no_token)
    remember_address(server.address)
    existing = server.jobs()
    for job in existing:
        if request.run in (job.job_id, job.run):
            return server, job
    names = {name for job in existing for name in (job.run, job.job_id) if name}
    raise JobNotFound(f"{unknown('run or job', request.run, names)} at {server.address}")


def _driver(request: JobRequest) -> tuple[Driver, bool]:
    """Return the process that searches a run, and whether some process holds the run's lock."""
    from foldtune.search.runs.run import open_run  # heavy, and not needed where --address is given

    store = open_run(request.run, request.storage).store
    driver = read_driver(store)
    if driver is None:
        raise InputError(
            f"run {request.run!r} has no record of the process that searches it: it was never started by this version"
        )
    return driver, store.is_locked()


def _stop_process(run: str, driver: Driver, busy: bool) -> None:
    """Send Ctrl-C to a search in a terminal of this machine, and wait until it has ended."""
    if not busy:
        note(f"no process works on run {run!r}")
        return
    process = driver.process()
    if process is None and driver.host != socket.gethostname():
        raise InputError(f"run {run!r} is searched by process {driver.pid} on {driver.host}: stop it there")
    if process is None:
        raise InputError(f"run {run!r} is held by a command that is no search; stop that one in its terminal")
    process.send_signal(signal.SIGINT)
    note(f"stopping process {driver.pid} …")
    try:
        process.wait(STOP_TIMEOUT_S)
    except psutil.TimeoutExpired:
        raise WorkError(f"process {driver.pid} goes on after {STOP_TIMEOUT_S:g} s: its terminal shows why") from None
    note(f"run {run!r} has stopped; foldtune search CONFIG --resume goes on")
