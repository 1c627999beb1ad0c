"""A job server whose head is still starting, simulated since no real one can be kept in that state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from foldtune.cluster import jobs
from foldtune.cluster.access import tokens
from foldtune.cluster.jobs import NO_AGENT, JobServer
from foldtune.errors import ClusterError
from tests.cluster.servers import Quiet, serving

ANSWERS = {
    "/api/authentication_mode": {"authentication_mode": "disabled"},
    "/api/version": {"version": "4", "ray_version": "2.60.0", "ray_commit": "", "session_name": ""},
}


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (tokens.MODE, tokens.TOKEN, tokens.TOKEN_PATH, jobs.API_SERVER):
        monkeypatch.setenv(name, "")  # so that it is taken back where the client sets it
        monkeypatch.delenv(name)
    monkeypatch.setattr(jobs, "POLL_S", 0.01)


@contextmanager
def job_server(refusals: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """A server that has every package, refuses the first jobs with these texts, then takes them; with the ids sent."""
    sent: list[str] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            self._answer(200, ANSWERS.get(self.path, {}))

        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sent.append(job["submission_id"])
            if len(sent) <= len(refusals):
                self._answer(500, refusals[len(sent) - 1])
            else:
                self._answer(200, {"job_id": job["submission_id"], "submission_id": job["submission_id"]})

        def _answer(self, status: int, body: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    with serving(Handler) as address:
        yield address, sent


def test_a_job_waits_for_the_agent_of_a_starting_head(tmp_path: Path) -> None:
    with job_server([f"{NO_AGENT} to submit job", f"{NO_AGENT} to submit job"]) as (address, sent):
        JobServer(address).submit(["runs"], tmp_path, job_id="job-1")
    assert sent == ["job-1"] * 3


def test_the_wait_for_an_agent_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "AGENT_WAIT_S", 0.0)
    with job_server([f"{NO_AGENT} to submit job"] * 9) as (address, _), pytest.raises(ClusterError, match=NO_AGENT):
        JobServer(address).submit(["runs"], tmp_path, job_id="job-1")


def test_any_other_refusal_is_reported_at_once(tmp_path: Path) -> None:
    with job_server(["runtime_env is broken"]) as (address, sent):
        with pytest.raises(ClusterError, match="runtime_env is broken"):
            JobServer(address).submit(["runs"], tmp_path, job_id="job-1")
        assert sent == ["job-1"]
