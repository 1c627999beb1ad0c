"""Commands that run on a cluster: as a job of its job server, or through Ray Client."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from foldtune.cluster.access.addresses import Address, parse_address
from foldtune.cluster.access.trusted import remember_address
from foldtune.cluster.jobs import FAILED, STOPPED, Job, JobServer
from foldtune.files import scratch_folder, write_content
from foldtune.search.cli.terminal import note, output, plain
from foldtune.search.config.packaging import CONFIG, absolute_storage, job_environment, new_job_id
from foldtune.yaml import dump_yaml

INTERRUPTED = 130


@dataclass(frozen=True)
class RemoteCommand:
    """A command of foldtune that runs on a cluster.

    Attributes:
        arguments: arguments of foldtune, which joins the cluster by `--address auto`.
        config: content of the file `search.config.packaging.CONFIG` beside it, None where it needs none.
        run: name of the run that it searches, None where it is no search.
        storage: storage of that run.
        resume_command: the user's command that goes on with that run.
        beside: contents of files that lie beside the configuration, by name.
    """

    arguments: Sequence[str]
    config: Mapping[str, Any] | None = None
    run: str | None = None
    storage: str | None = None
    resume_command: str | None = None
    beside: Mapping[str, str | bytes] = field(default_factory=dict)

    def files(self) -> dict[str, str | bytes]:
        """Return the contents of the files of its working directory by name."""
        return {} if self.config is None else {**self.beside, CONFIG: dump_yaml(self.config)}


def remote_address(address: str | None) -> Address | None:
    """Return the address where a command has to be sent to a cluster; None where this process can join it.

    Raises:
        ClusterError: the text is no address.
    """
    if address is None:
        return None
    parsed = parse_address(address)
    return None if parsed.kind == "cluster" else parsed


def run_remote(address: Address, command: RemoteCommand, *, allow_no_token: bool) -> None:
    """Run a command on a cluster, print its output here, and end with its exit code.

    Raises:
        typer.Exit: its exit code, where that is not 0.
        ClusterError: no cluster answers, or it is not to be trusted.
    """
    arguments = [*command.arguments, *(["--allow-no-token"] if allow_no_token else [])]
    if address.kind == "client":
        from foldtune.cluster.remote import run_on_head  # heavy: Ray, which a job does without

        note(f"running on {address.text}; Ctrl-C stops it there")
        variables = {**job_environment(command.resume_command), "COLUMNS": str(output().width)}
        code = run_on_head(address, arguments, command.files(), variables, _write, allow_no_token=allow_no_token)
    else:
        code = _run_job(address, arguments, command, allow_no_token)
    if code:
        raise typer.Exit(code)


def exit_code(job: Job, resume_command: str | None = None) -> int:
    """Return the exit code of an ended job, after a note on how it ended where its log does not hold that."""
    if job.state == STOPPED:
        note(f"job {job.job_id} was stopped{f'; go on with: {resume_command}' if resume_command else ''}")
        return INTERRUPTED
    if job.state == FAILED and not job.exit_code:
        note(f"job {job.job_id} failed: {job.message}")
        return 1
    return job.exit_code or 0


def follow_log(server: JobServer, job_id: str) -> Job | None:
    """Print a job's log until it ends; None where Ctrl-C ended the printing before."""
    try:
        return server.follow(job_id, _write)
    except KeyboardInterrupt:
        return None


def _run_job(address: Address, arguments: Sequence[str], command: RemoteCommand, allow_no_token: bool) -> int:
    server = JobServer(address.text, allow_no_token=allow_no_token)
    remember_address(server.address)
    job_id = new_job_id(command.run or command.arguments[0])
    with scratch_folder("job") as folder:
        for name, content in command.files().items():
            write_content(Path(folder, name), content)
        server.submit(
            arguments,
            Path(folder),
            job_id=job_id,
            run=command.run,
            environment=job_environment(command.resume_command, job_id, server.address),
        )
    if command.run is None:
        return exit_code(follow_log(server, job_id) or server.stop(job_id))
    note(f"job {job_id} submitted to {server.address}; Ctrl-C leaves it running")
    ended = follow_log(server, job_id)
    if ended is None:
        where = "" if command.storage in (None, absolute_storage("runs")) else f" --storage {command.storage}"
        note(f"\njob {job_id} goes on at {server.address}")
        note(f"its log: foldtune logs {command.run}{where} --follow; to stop it: foldtune stop {command.run}{where}")
        note(f"where its storage is not reached from here: foldtune logs {job_id} --address {server.address}")
        return INTERRUPTED
    return exit_code(ended, command.resume_command)


def _write(text: str) -> None:
    sys.stdout.write(plain(text))
    sys.stdout.flush()
