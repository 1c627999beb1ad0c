"""Commands that run on a cluster: as a job of its job server, or through Ray Client's door."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from foldtune.search.cli.terminal import note, output

if TYPE_CHECKING:
    from foldtune.cluster.addresses import Address
    from foldtune.cluster.jobs import Job

INTERRUPTED = 130


@dataclass(frozen=True)
class RemoteCommand:
    """A command to run there.

    Attributes:
        arguments: of foldtune, which joins the cluster by `--address auto`.
        config: of the file `search.config.packaging.CONFIG` beside it, None where it needs none.
        run: that it searches, None where it searches none.
        storage: of the run.
        again: the command that goes on with the run.
    """

    arguments: Sequence[str]
    config: Mapping[str, Any] | None = None
    run: str | None = None
    storage: str | None = None
    again: str | None = None

    def files(self) -> dict[str, str]:
        """Texts by name."""
        import yaml

        from foldtune.search.config.packaging import CONFIG

        return {} if self.config is None else {CONFIG: yaml.safe_dump(dict(self.config), sort_keys=False)}


def remote_address(address: str | None) -> Address | None:
    """The door of an address at which a command cannot join from here; None where it can.

    Raises:
        ClusterError: it is no address.
    """
    from foldtune.cluster.addresses import parse_address

    if address is None:
        return None
    parsed = parse_address(address)
    return None if parsed.kind == "cluster" else parsed


def run_remote(address: Address, command: RemoteCommand, *, allow_no_token: bool) -> None:
    """Run it there, hand on what it prints, and end as it ended.

    Raises:
        typer.Exit: with its exit code, where that is not 0.
        ClusterError: no cluster answers, or it is not to be trusted.
    """
    arguments = [*command.arguments, *(["--allow-no-token"] if allow_no_token else [])]
    if address.kind == "client":
        from foldtune.cluster.remote import run_on_head
        from foldtune.search.config.packaging import environment

        note(f"running on {address.text}; Ctrl-C stops it there")
        own = {**environment(command.again), "COLUMNS": str(output().width)}
        code = run_on_head(address, arguments, command.files(), own, _write, allow_no_token=allow_no_token)
    else:
        code = _run_job(address, arguments, command, allow_no_token)
    if code:
        raise typer.Exit(code)


def exit_code(job: Job, again: str | None = None) -> int:
    """Say how a job ended, where its log does not, and give its exit code."""
    from foldtune.cluster.jobs import FAILED, STOPPED

    if job.state == STOPPED:
        note(f"job {job.job_id} was stopped{f'; go on with: {again}' if again else ''}")
        return INTERRUPTED
    if job.state == FAILED and not job.exit_code:
        note(f"job {job.job_id} failed: {job.message}")
        return 1
    return job.exit_code or 0


def follow(server: Any, job_id: str) -> Job | None:
    """Hand on a job's log until it ends; None where Ctrl-C left it before."""
    try:
        job: Job = server.follow(job_id, _write)
    except KeyboardInterrupt:
        return None
    return job


def _run_job(address: Address, arguments: Sequence[str], command: RemoteCommand, allow_no_token: bool) -> int:
    from foldtune.cluster.jobs import JobServer
    from foldtune.search.config.packaging import absolute_storage, environment, new_job_id

    server = JobServer(address.text, allow_no_token=allow_no_token)
    job_id = new_job_id(command.run or command.arguments[0])
    with tempfile.TemporaryDirectory(prefix="foldtune-job-") as folder:
        for name, text in command.files().items():
            Path(folder, name).write_text(text)
        server.submit(
            arguments,
            Path(folder),
            job_id=job_id,
            run=command.run,
            environment=environment(command.again, job_id, server.address),
        )
    if command.run is None:
        job = follow(server, job_id) or server.stop(job_id)
        return exit_code(job)
    note(f"job {job_id} submitted to {server.address}; Ctrl-C leaves it running")
    job_or_none = follow(server, job_id)
    if job_or_none is None:
        where = "" if command.storage in (None, absolute_storage("runs")) else f" --storage {command.storage}"
        note(f"\njob {job_id} goes on at {server.address}")
        note(f"its log: foldtune logs {command.run}{where} --follow; to stop it: foldtune stop {command.run}{where}")
        note(f"where its storage is not seen from here: foldtune logs {job_id} --address {server.address}")
        return INTERRUPTED
    return exit_code(job_or_none, command.again)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
