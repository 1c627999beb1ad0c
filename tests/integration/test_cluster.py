"""A search on a cluster of two nodes with a job server: refused, submitted, left, stopped, gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SPACE = {"lr": {"loguniform": [0.001, 0.01]}}
TRIALS, EPOCHS = 5, 120  # long enough for some commands between two ends


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    gcs: str
    jobs: str
    home: Path


@pytest.fixture(scope="module")
def cluster(foldtune: Any, wait_for: Callable[..., Any]) -> Iterator[Cluster]:
    """A head and a second node, each with one CPU, that require a token; the folder `own` is local to the second."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a node with a folder of its own needs a mount namespace, which this user may not make")
    folder = Path(tempfile.mkdtemp(prefix="ft-", dir="/tmp"))  # Ray's sockets need a short path
    (foldtune.folder / "own").mkdir()
    port, dashboard = free_port(), free_port()
    changes = {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "f" * 64,
    }
    environment = {**os.environ, **changes}
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    ports = [f"--port={port}", f"--ray-client-server-port={free_port()}"]
    # Without a port of its own there are no jobs where another Ray runs on this machine.
    agent = f"--dashboard-agent-listen-port={free_port()}"
    head = [*ports, "--head", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", agent]
    hidden = 'mount -t tmpfs none "$0" && exec "$@"'
    apart = ["unshare", "--mount", "sh", "-c", hidden, str(foldtune.folder / "own")]
    log = folder / "second.log"
    with open(folder / "head.log", "w") as first, open(log, "w") as output, pytest.MonkeyPatch.context() as patch:
        for name, value in changes.items():
            patch.setenv(name, value)  # for the commands
        started = [subprocess.Popen([*ray, *head], env=environment, stdout=first, stderr=first)]
        try:
            jobs = f"http://127.0.0.1:{dashboard}"
            wait_for(lambda: "runtime started" in (folder / "head.log").read_text(), "the head")
            wait_for(lambda: answers(f"{jobs}/api/authentication_mode"), "the job server's answer")
            second = [*apart, *ray, f"--address=127.0.0.1:{port}"]
            started.append(subprocess.Popen(second, env=environment, stdout=output, stderr=output))
            wait_for(lambda: "runtime started" in log.read_text() or started[1].poll() is not None, "the second node")
            assert started[1].poll() is None, log.read_text()
            yield Cluster(f"127.0.0.1:{port}", jobs, folder)
        finally:
            for process in reversed(started):
                process.terminate()
            for process in reversed(started):
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_folder_that_one_node_does_not_share_is_refused(
    cluster: Cluster, foldtune: Any, write_search: Callable[..., str]
) -> None:
    config = write_search("apart", SPACE, search={"num_samples": 1, "max_epochs": 1})
    ended = foldtune.run("search", config, "--storage", "own", "--address", cluster.gcs, code=2)
    assert "does not see what the driver writes there: the folder is this node's own: mount one shared" in ended.stderr
    assert list((foldtune.folder / "own").iterdir()) == [], "nothing is left where it was refused"


def test_a_user_without_the_token_is_refused_with_the_reason(cluster: Cluster, foldtune: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    for address in (cluster.gcs, cluster.jobs):
        ended = foldtune.run("cluster", "status", "--address", address, code=2)
        assert "requires a token: put it into" in ended.stderr


def test_a_job_is_left_stopped_and_gone_on_with(
    cluster: Cluster, foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    search = {"num_samples": TRIALS, "max_epochs": EPOCHS, "trial_scheduler": "none"}
    config = write_search("sent", {**SPACE, "amp": "auto", "channels_last": "auto"}, search=search)
    root = foldtune.folder / "runs/sent"
    submitting = foldtune.start("search", config, "--address", cluster.jobs)
    wait_for(lambda: submitting.ended() or finished(root), "the first finished trial")
    submitting.process.send_signal(signal.SIGINT)
    left = submitting.end()
    assert left.code == 130, left.stderr
    assert "goes on" in left.stderr
    assert "foldtune stop sent" in left.stderr

    (run,) = [row for row in json.loads(foldtune.run("runs", "--format", "json").stdout) if row["name"] == "sent"]
    assert (run["state"], run["job_state"], run["job_address"]) == ("running", "RUNNING", cluster.jobs)
    foldtune.run("stop", "sent")
    kept = finished(root)
    assert 1 <= len(kept) < TRIALS
    assert (
        f"go on with: foldtune search {config} --address {cluster.jobs} --resume" in foldtune.run("logs", "sent").stdout
    )

    resumed = foldtune.start("search", config, "--address", cluster.gcs, "--resume")
    assert resumed.end().code == 0
    assert kept.items() <= finished(root).items(), "what was finished is as it was"
    assert len(finished(root)) == TRIALS
    (timed,) = json.loads((root / "measured.json").read_text())["formats"]  # by a worker, stored once
    assert len(timed["speeds"]) >= 2
    configs = [json.loads(path.read_text())["config"] for path in root.glob("trials/*/config.json")]
    assert len({(config["amp"], config["channels_last"]) for config in configs}) == 1
    assert configs[0]["amp"] in ("off", "bf16")
    for path in root.glob("trials/*/metrics.jsonl"):
        epochs = [json.loads(line)["epoch"] for line in path.read_text().splitlines()]
        assert sorted(set(epochs)) == list(range(1, EPOCHS + 1))
        assert len(epochs) <= EPOCHS + 1, "an epoch at most is repeated"


def finished(root: Path) -> dict[str, int]:
    """When each trial's end was written, by trial."""
    return {path.parent.name: path.stat().st_mtime_ns for path in root.glob("trials/*/trial.json")}
