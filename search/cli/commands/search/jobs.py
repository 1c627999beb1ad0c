"""`foldtune logs` and `stop`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from foldtune.search.cli.options import AllowNoToken, RunName, Storage
from foldtune.search.cli.remote.command import exit_code, follow
from foldtune.search.cli.terminal import note

if TYPE_CHECKING:
    from foldtune.cluster.jobs import Job, JobServer
    from foldtune.results.runs.driver_file import Driver

JobServerAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="The job server, http://HOST:8265; by default that of the run's folder.",
    ),
]
END_WAIT_S = 300.0


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @app.command()
    def logs(
        run: RunName,
        follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
        storage: Storage = "runs",
        address: JobServerAddress = None,
        allow_no_token: AllowNoToken = False,
    ) -> None:
        """Show what the job that searches a run has printed.

        With --address RUN may also be a job's id, which needs no access to the storage.
        """
        server, job = _job(run, storage, address, allow_no_token)
        if not follow_log:
            sys.stdout.write(server.log(job.job_id))
            return
        ended = follow(server, job.job_id)
        if ended is None:
            note(f"\njob {job.job_id} goes on")
            raise typer.Exit(130)
        if code := exit_code(ended):
            raise typer.Exit(code)

    @app.command()
    def stop(
        run: RunName,
        storage: Storage = "runs",
        address: JobServerAddress = None,
        allow_no_token: AllowNoToken = False,
    ) -> None:
        """Stop the search of a run cleanly, wherever it runs: what finished is kept, --resume goes on.

        With --address RUN may also be a job's id, which needs no access to the storage.
        """
        if address is None:
            driver, busy = _driver(run, storage)
            if driver.job_id is None:
                _stop_process(run, driver, busy)
                return
        server, job = _job(run, storage, address, allow_no_token)
        if job.ended:
            note(f"job {job.job_id} has ended already: {job.state}")
            return
        note(f"stopping job {job.job_id} …")
        server.stop(job.job_id)
        note(f"job {job.job_id} has stopped; foldtune search CONFIG --resume goes on")


def _job(run: str, storage: str, address: str | None, allow_no_token: bool) -> tuple[JobServer, Job]:
    """The job server of a run, and the run's last job there."""
    from foldtune.cluster.jobs import JobServer
    from foldtune.errors import InputError, JobNotFound, unknown

    if address is None:
        driver, _ = _driver(run, storage)
        if driver.job_id is None or driver.job_address is None:
            raise InputError(
                f"run {run!r} was searched in a terminal on {driver.host}, which showed its log; no job has it"
            )
        server = JobServer(driver.job_address, allow_no_token=allow_no_token)
        return server, server.job(driver.job_id)
    server = JobServer(address, allow_no_token=allow_no_token)
    known = server.jobs()
    for job in known:
        if run in (job.job_id, job.run):
            return server, job
    names = {name for job in known for name in (job.run, job.job_id) if name}
    raise JobNotFound(f"{unknown('run or job', run, names)} at {server.address}")


def _driver(run: str, storage: str) -> tuple[Driver, bool]:
    """Who searches a run, and whether some process holds it."""
    from foldtune.errors import InputError
    from foldtune.results.runs.driver_file import read_driver
    from foldtune.search.runs.run import open_run

    store = open_run(run, storage).store
    driver = read_driver(store)
    if driver is None:
        raise InputError(f"run {run!r} does not say which process searches it: it was never started by this version")
    return driver, store.is_locked()


def _stop_process(run: str, driver: Driver, busy: bool) -> None:
    """Ctrl-C for a search in a terminal of this machine."""
    import signal
    import socket

    import psutil

    from foldtune.errors import InputError, WorkError

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
        process.wait(END_WAIT_S)
    except psutil.TimeoutExpired:
        raise WorkError(f"process {driver.pid} goes on after {END_WAIT_S:g} s: its terminal says why") from None
    note(f"run {run!r} has stopped; foldtune search CONFIG --resume goes on")
