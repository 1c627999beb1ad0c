"""Ray's job server: submits commands to a cluster, follows and stops them."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldtune.cluster.access.addresses import parse_address, require_answer
from foldtune.cluster.access.tokens import require_token
from foldtune.cluster.ray_internals import PACKAGING_LOGGER, reload_auth_mode
from foldtune.cluster.shipping import runtime_env
from foldtune.errors import ClusterError, JobNotFound

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED = "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"
ENDED = frozenset({SUCCEEDED, FAILED, STOPPED})
STOP_WAIT_S = 300
"""Seconds that a stopped command has to end by itself, before Ray kills it."""
POLL_S = 0.5
RETRIES = 5
"""Attempts in a row to reconnect to a log, after 1, 2, 4, … seconds."""
NO_AGENT = "No available agent"
"""Part of the error of a server on whose head the agent, which runs the jobs, has not started yet."""
AGENT_WAIT_S = 30.0
API_SERVER = "RAY_API_SERVER_ADDRESS"
NOISY_LOGGERS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    PACKAGING_LOGGER,
)
"""Loggers of Ray's client with levels of their own, which report every package and connection."""
RUN_KEY = "foldtune_run"
"""Key in a job's metadata of the name of the run that it searches."""
ENVIRONMENT = {
    # Ray blocks SIGINT in a job's command unless it is to be stopped by it.
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
    "PYTHONUNBUFFERED": "1",
    "COLUMNS": "160",
}


@dataclass(frozen=True)
class Job:
    """A submitted command.

    Attributes:
        state: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        exit_code: exit code of the command, None where it has not ended by itself.
        run: name of the run that it searches, None where it is no search of foldtune.
        started_s: time of its start in seconds since the epoch, None before it starts.
    """

    job_id: str
    state: str
    message: str
    exit_code: int | None
    run: str | None
    started_s: float | None

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.state in ENDED


class JobServer:
    """The job server at `http://HOST:8265`.

    Args:
        allow_no_token: whether to use it although others reach it and it requires no token.

    Raises:
        ClusterError: none answers there, or it is not to be trusted.
    """

    def __init__(self, address: str, *, allow_no_token: bool = False) -> None:
        parsed = parse_address(address)
        if parsed.kind != "jobs":
            raise ClusterError(f"address {address!r}: jobs go to the job server, http://HOST:8265")
        require_answer(parsed)
        require_token(parsed, allow_no_token=allow_no_token)
        reload_auth_mode()
        self.address = parsed.text
        with self._errors():
            from ray.job_submission import JobSubmissionClient  # reads the mode of authentication at import

            for name in NOISY_LOGGERS:
                logging.getLogger(name).setLevel(logging.ERROR)
            os.environ[API_SERVER] = parsed.text  # else Ray would use $RAY_ADDRESS, whatever address it is given
            self._client: JobSubmissionClient = JobSubmissionClient(parsed.text)

    def submit(
        self,
        arguments: Sequence[str],
        working_dir: Path,
        *,
        job_id: str,
        run: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Submit `foldtune ARGUMENTS` with this process' code; it starts in a copy of `working_dir`.

        Args:
            working_dir: folder to copy.
            job_id: submission id of the new job.
            environment: further environment variables.

        Raises:
            ClusterError: the server refused it.
        """
        env = runtime_env(working_dir=str(working_dir), env_vars={**ENVIRONMENT, **(environment or {})})
        deadline_s = time.monotonic() + AGENT_WAIT_S
        while True:
            try:
                with self._errors():
                    self._client.submit_job(
                        entrypoint=shlex.join(["python", "-m", "foldtune.search.cli", *arguments]),
                        submission_id=job_id,
                        runtime_env=env,
                        metadata={RUN_KEY: run} if run else {},
                    )
                return
            except ClusterError as error:
                if NO_AGENT not in str(error) or time.monotonic() > deadline_s:
                    raise
                time.sleep(POLL_S)

    def job(self, job_id: str) -> Job:
        """Return the present state of a job.

        Raises:
            JobNotFound: the server has no job of that id.
        """
        with self._errors(job_id):
            return _job(self._client.get_job_info(job_id))

    def jobs(self) -> list[Job]:
        """Return every submitted job that the server still lists, the newest first."""
        with self._errors():
            found = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted(found, key=lambda job: job.started_s or float("inf"), reverse=True)

    def log(self, job_id: str) -> str:
        """Return the output of the command so far, stdout and stderr.

        Raises:
            JobNotFound: the server has no job of that id.
        """
        with self._errors(job_id):
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str, write: Callable[[str], object]) -> Job:
        """Write the command's output from its beginning until it ends, reconnecting where the connection is lost.

        Raises:
            ClusterError: the server cannot be reached any more.
            JobNotFound: the server has no job of that id.
        """
        written = failures = 0
        while True:
            try:
                for text in self._tail(job_id, written):
                    write(text)
                    written += len(text)
                    failures = 0
                return self._end(job_id)
            except (OSError, RuntimeError) as error:
                if self.job(job_id).ended:
                    write(self.log(job_id)[written:])
                    return self._end(job_id)
                failures += 1
                if failures > RETRIES:
                    raise ClusterError(f"the log of job {job_id} broke off: {error}; the job goes on") from None
                time.sleep(2.0 ** (failures - 1))

    def stop(self, job_id: str) -> Job:
        """Interrupt the command, as Ctrl-C does, and wait until it has ended.

        Raises:
            JobNotFound: the server has no job of that id.
        """
        with self._errors(job_id):
            self._client.stop_job(job_id)
        return self._end(job_id)

    def _end(self, job_id: str) -> Job:
        while not (job := self.job(job_id)).ended:
            time.sleep(POLL_S)
        return job

    def _tail(self, job_id: str, skipped: int) -> Iterator[str]:
        """Yield the log after its first `skipped` characters, until the job ends or the connection breaks."""
        texts = self._client.tail_job_logs(job_id)

        async def following() -> str | None:
            return await anext(texts, None)

        async def close() -> None:
            await texts.aclose()

        with asyncio.Runner() as runner:
            try:
                while (text := runner.run(following())) is not None:
                    if fresh := text[skipped:]:
                        yield fresh
                    skipped = max(0, skipped - len(text))
            finally:
                runner.run(close())

    @contextmanager
    def _errors(self, job_id: str | None = None) -> Iterator[None]:
        """Translate the errors of Ray's client, which raises RuntimeError for whatever the server answers."""
        try:
            yield
        except ClusterError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())
            if job_id is not None and "404" in text:
                raise JobNotFound(f"the job server at {self.address} has no job {job_id!r}") from None
            raise ClusterError(f"the job server at {self.address}: {text[:300]}") from None


def _job(details: Any) -> Job:
    return Job(
        job_id=str(details.submission_id),
        state=str(details.status.value if hasattr(details.status, "value") else details.status),
        message=" ".join((details.message or "").split()),
        exit_code=details.driver_exit_code,
        run=(details.metadata or {}).get(RUN_KEY),
        started_s=None if details.start_time is None else details.start_time / 1000,
    )
