"""A search of many short trials on a cluster whose workers and nodes are killed at random from start to end.

`python -m benchmarks.soak [--trials 200] [--nodes 4] [--pause 10] [--seed 0] [--output FILE]`

Exits with 1 if a trial is missing, duplicated or failed, a process is left behind, or the driver's memory grows.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.report import Figure, machine_line, parser, publish

TITLE = "soak: a search under random kills"
EPOCHS = 3
MAX_GROWTH_MB = 50.0
RAY = {
    "RAY_AUTH_MODE": "token",  # its ports are open to other machines
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_USAGE_STATS_ENABLED": "0",
}


@dataclass
class Log:
    """Kills of workers and nodes, and the driver's memory as (seconds since the start, MB)."""

    workers: int = 0
    nodes: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)


def search_config(folder: Path, trials: int) -> dict[str, Any]:
    """Return the configuration of a search with trials of about 1 s on a core."""
    return {
        "name": "soak",
        "task": "multiclass",
        "data": {
            "root": str(folder / "digits"),
            "train": "train.csv",
            "images": "images",
            "target": "label",
            "image_size": 32,
        },
        "space": {
            "model_name": "test_resnet",
            "pretrained": False,
            "amp": "off",
            "channels_last": True,
            "batch_size": 32,
            "augmentation": "none",
            "lr": {"loguniform": [1.0e-3, 3.0e-2]},
            "drop_rate": {"uniform": [0.0, 0.3]},
        },
        "search": {"num_samples": trials, "max_epochs": EPOCHS, "grace_epochs": 1},
        "ensemble": {"folds": 3},
        "storage": str(folder / "runs"),
    }


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """Yield a local cluster: a head without CPUs and `nodes` nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


def trainable_workers() -> list[psutil.Process]:
    """Return the processes of the cluster that run a trial."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and "Trainable" in title:
            found.append(process)
    return found


def kill_one(made: Any, log: Log, rng: random.Random) -> None:
    """Kill one worker, or with probability 1/4 a whole node, which is replaced."""
    workers = trainable_workers()
    if rng.random() < 0.25 and made.worker_nodes:
        made.remove_node(rng.choice(sorted(made.worker_nodes, key=id)), allow_graceful=False)
        made.add_node(num_cpus=1)
        log.nodes += 1
    elif workers:
        try:
            rng.choice(workers).kill()
            log.workers += 1
        except psutil.NoSuchProcess:
            pass


def soak(folder: Path, trials: int, nodes: int, pause_s: float, seed: int) -> tuple[int, float, Log, str]:
    """Search to the end under kills; return exit code, seconds, log and output."""
    from foldtune.trainers.data.digits import write_digits

    write_digits(folder / "digits")
    config = folder / "soak.yaml"
    config.write_text(yaml.safe_dump(search_config(folder, trials)))
    rng, log = random.Random(seed), Log()
    environment = {**os.environ, "FOLDTUNE_CACHE": str(folder / "cache")}
    output = folder / "output.log"
    with cluster(nodes) as made, open(output, "w") as stream:
        command = [sys.executable, "-c", "from foldtune.search.cli import main; main()"]
        command += ["search", str(config), "--address", made.address]
        driver = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream, start_new_session=True)
        started_s, next_s = time.monotonic(), 2 * pause_s
        while driver.poll() is None:
            now_s = time.monotonic() - started_s
            try:
                log.memory.append((now_s, psutil.Process(driver.pid).memory_info().rss / 2**20))
            except psutil.Error:
                break
            if now_s >= next_s:
                kill_one(made, log, rng)
                next_s = time.monotonic() - started_s + rng.uniform(0.5, 1.5) * pause_s
            time.sleep(0.5)
        code, seconds = driver.wait(), time.monotonic() - started_s
    return code, seconds, log, output.read_text()


def left_behind(temporary: str) -> list[str]:
    """Return the command lines of processes left of the cluster, whose folder is `temporary`."""
    found = []
    deadline = time.monotonic() + 30  # Ray's agents outlast a killed node for a moment
    while time.monotonic() < deadline:
        found = [
            " ".join(process.info["cmdline"])[:120]
            for process in psutil.process_iter(["cmdline", "status"])
            if temporary in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE
        ]
        if not found:
            break
        time.sleep(0.5)
    return found


def figures(run: Path, trials: int, seconds: float, log: Log, left: list[str]) -> list[Figure]:
    """Return the figures of a finished run: trials, repeated epochs, memory, processes left."""
    from foldtune.results.runs.store import RunStore

    store = RunStore.open(run)
    records = store.trials()
    states = Counter(record.status for record in records)
    ended = len({record.number for record in records if record.status in ("COMPLETE", "PRUNED")})
    rows = _written_epochs(run)
    repeated = sum(len(epochs) - len(set(epochs)) for epochs in rows)
    deaths = sum(len(store.trial(record.trial_id).deaths()) for record in records)
    third = len(log.memory) // 3
    early = statistics.median(value for _, value in log.memory[third : 2 * third])
    late = statistics.median(value for _, value in log.memory[-third:])
    counts = ", ".join(f"{count} {status.lower()}" for status, count in sorted(states.items()))
    return [
        Figure("trials accounted for", ended, f"of {trials}", float(trials), detail=counts),
        Figure("trials that are there twice", len(records) - len({r.number for r in records}), "", 0.0, True),
        Figure("killed", log.workers, "workers", detail=f"and {log.nodes} nodes, in {seconds:.0f} s"),
        Figure("deaths that hit a trial", deaths, "", detail="each went on from its checkpoint"),
        Figure("epochs trained twice", repeated, "", float(deaths), True, f"of {sum(map(len, rows))}"),
        Figure("growth of the driver's memory", late - early, "MB", MAX_GROWTH_MB, True, f"{late:.0f} MB at the end"),
        Figure("processes left behind", len(left), "", 0.0, True, "; ".join(left)),
        Figure("trials a minute", 60 * trials / seconds, ""),
    ]


def _written_epochs(run: Path) -> list[list[int]]:
    files = sorted(run.glob("trials/*/metrics.jsonl"))
    return [[json.loads(line)["epoch"] for line in file.read_text().splitlines()] for file in files]


def main() -> None:
    """Run the test and print its figures."""
    options = parser(__doc__)
    options.add_argument("--trials", type=int, default=200)
    options.add_argument("--nodes", type=int, default=4)
    options.add_argument("--pause", type=float, default=10.0, metavar="S", help="seconds between two kills, on average")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    trials = 20 if given.quick else given.trials
    machine = machine_line()
    # A short path, since those of Ray's sockets start with it and have a limit.
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name:
        temporary = str(Path(name) / "ray")
        os.environ.update(RAY, RAY_TMPDIR=temporary)
        code, seconds, log, output = soak(Path(name), trials, given.nodes, given.pause, given.seed)
        if code:
            sys.exit(f"the search ended with {code}:\n{output[-4000:]}")
        found = figures(Path(name) / "runs/soak", trials, seconds, log, left_behind(temporary))
        publish({TITLE: found}, machine, given.output)
    sys.exit(any(figure.met is False for figure in found))


if __name__ == "__main__":
    main()
