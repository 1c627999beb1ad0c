"""What a search loses when workers hang or die, a node or the head goes, or memory runs out: injected for real."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foldtune.cluster.ray_internals import reload_auth_mode
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.store import RunStore

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SPACE = {"lr": {"loguniform": [0.001, 0.03]}, "batch_size": 16}
EPOCHS = 6


class Trials:
    """What the trials of a run have written, while it is searched."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def rows(self, trial_id: str) -> list[dict[str, Any]]:
        """Every epoch that was written, repeated ones too."""
        path = self.root / "trials" / trial_id / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.is_file() else []
        return [json.loads(line) for line in lines]

    def training(self, least: int = 1) -> list[str]:
        """Trials that go on, with so many epochs at least."""
        folders = [path.parent for path in self.root.glob("trials/*/config.json")]
        return [
            each.name for each in folders if not (each / "trial.json").exists() and len(self.rows(each.name)) >= least
        ]

    def finished(self) -> list[TrialRecord]:
        return [record for record in RunStore(self.root).trials() if record.status != "RUNNING"]

    def deaths(self) -> dict[str, list[dict[str, Any]]]:
        """By trial, what the driver noted of workers that died."""
        store = RunStore(self.root)
        return {r.trial_id: noted for r in store.trials() if (noted := store.trial(r.trial_id).deaths())}

    def check_whole(self, trials: int, epochs: int = EPOCHS) -> None:
        """Each trial is there once, in the leaderboard too; a complete one has each epoch, one a death more at most."""
        records, deaths = RunStore(self.root).trials(), self.deaths()
        assert [record.number for record in records] == list(range(trials))
        assert not [record for record in records if record.status == "RUNNING"]
        board = pd.read_csv(self.root / "leaderboard.csv", dtype={"trial_id": str})
        assert sorted(board["trial_id"]) == [record.trial_id for record in records]
        for record in records:
            written = [row["epoch"] for row in self.rows(record.trial_id)]
            assert len(written) - len(set(written)) <= len(deaths.get(record.trial_id, [])), written
            if record.status == "COMPLETE":
                assert sorted(set(written)) == list(range(1, epochs + 1))


def test_a_worker_that_hangs_is_ended_and_one_that_dies_is_replaced(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    search = {"num_samples": 3, "max_epochs": EPOCHS, "trial_scheduler": "none", "trial_timeout_s": 25}
    file = write_search("hanging", SPACE, search=search, resources={"max_concurrent_trials": 1})
    trials = Trials(foldtune.folder / "runs/hanging")
    started = foldtune.start("search", file)
    (hanging,) = wait_for(lambda: trials.training() == ["0000"] and started.workers(), "the first trial")
    hanging.suspend()
    wait_for(lambda: started.ended() or trials.training() == ["0001"], "the second trial")
    (dying,) = [worker for worker in started.workers() if worker != hanging]
    dying.kill()
    ended = started.end()
    assert ended.code == 0, ended.stdout + ended.stderr
    trials.check_whole(3)
    failed, *others = trials.finished()
    assert (failed.status, [record.status for record in others]) == ("FAIL", ["COMPLETE"] * 2)
    assert failed.error == "no report for 25 s (search.trial_timeout_s), so it was ended"
    ((lost, (death,)),) = trials.deaths().items()
    assert lost == "0001"
    assert 1 <= death["epoch"] < EPOCHS
    assert "died" in death["reason"]
    assert len(started.worker_pids) == 3, "with one slot, either search ends or its workers have successors"
    assert not hanging.is_running()


NO_ROOM = """
import importlib.abc, importlib.machinery, sys

class Injects(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "foldtune.trainers.parallel.microbatch":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            run = module.MicroBatches.run
            def limited(self, batch, part, undo):
                def refusing(rows):
                    if rows.stop - rows.start > 8:
                        raise module.torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
                    return part(rows)
                return run(self, batch, refusing, undo)
            module.MicroBatches.run = limited
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Injects())
"""
"""As `sitecustomize` of every process: a device with room for 8 images."""
ROOM_BYTES, BALLAST_BYTES = 5 * 2**30, 6 * 2**30
LONG = 120
"""Epochs of a trial that outlasts the filling of the memory, or the loss of a node, by far."""


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray ends workers once the machine holds ROOM_BYTES more than now; torch finds room for 8 images."""
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    total, used = get_system_memory(), get_used_memory()
    if total - used < ROOM_BYTES + 2 * BALLAST_BYTES:
        pytest.skip(f"needs {(ROOM_BYTES + 2 * BALLAST_BYTES) >> 30} GiB of free memory")
    monkeypatch.setenv("RAY_memory_usage_threshold", str((used + ROOM_BYTES) / total))
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    (tmp_path / "sitecustomize.py").write_text(NO_ROOM)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.mark.usefixtures("short_of_memory")
def test_memory_that_runs_out_makes_the_parts_of_a_batch_smaller(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    search = {"num_samples": 2, "max_epochs": LONG, "trial_scheduler": "none"}
    file = write_search("starved", SPACE, search=search, resources={"max_concurrent_trials": 1})
    trials = Trials(foldtune.folder / "runs/starved")
    started = foldtune.start("search", file)
    (worker,) = wait_for(lambda: trials.training() and started.workers(), "a trial")
    fill = f"import sys; held = b'1' * {BALLAST_BYTES}; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", fill], stdin=subprocess.PIPE) as ballast:
        wait_for(lambda: started.ended() or not worker.is_running(), "the end of the worker")
        ballast.kill()
    ended = started.end()
    assert ended.code == 0, ended.stdout + ended.stderr
    trials.check_whole(2, LONG)
    assert [record.status for record in trials.finished()] == ["COMPLETE"] * 2
    ((starved, noted),) = trials.deaths().items()
    assert [death["reason"] for death in noted] == ["its node ran out of host memory, and Ray ended the worker"]
    for record in trials.finished():
        sizes = [row["micro_batch_size"] for row in trials.rows(record.trial_id)]
        assert set(sizes) == ({8, 4} if record.trial_id == starved else {8}), "16 do not fit, as torch says"
        assert sizes == sorted(sizes, reverse=True)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of a head without CPUs; nodes join with `add_node`."""
    from ray.cluster_utils import Cluster

    # Short, since the paths of sockets lie below it; not the user's, since Ray notes its running cluster there.
    temporary = tempfile.mkdtemp(prefix="ft-")
    monkeypatch.setenv("RAY_TMPDIR", temporary)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # it listens to more than this machine
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for name, value in {"initial_delay_ms": 1000, "period_ms": 1000, "failure_threshold": 5}.items():
        monkeypatch.setenv(f"RAY_health_check_{name}", str(value))
    reload_auth_mode()
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.head_node]
    add = made.add_node
    made.add_node = lambda **options: nodes.append(add(**options)) or nodes[-1]
    yield made
    for node in nodes:
        node.kill_all_processes(check_alive=False, allow_graceful=False)
    shutil.rmtree(temporary, ignore_errors=True)


def test_a_lost_node_costs_an_epoch_per_trial_and_a_lost_head_the_session(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any], cluster: Any
) -> None:
    search = {"num_samples": 8, "max_epochs": LONG, "trial_scheduler": "none"}
    file = write_search("homeless", SPACE, search=search)
    trials = Trials(foldtune.folder / "runs/homeless")
    lost = cluster.add_node(num_cpus=4)
    started = foldtune.start("search", file, "--address", cluster.address)
    wait_for(lambda: len(trials.training()) == 4, "four trials on the node")
    finished = trials.finished()
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=2)
    wait_for(lambda: started.ended() or len(trials.finished()) >= len(finished) + 3, "trials on the other node")
    assert started.process.poll() is None, started.end()
    assert 3 <= len(trials.deaths()) <= 4, "those that ran on the lost node; one may have ended in that moment"
    kept = {record.trial_id: record for record in trials.finished()}
    assert all(kept[record.trial_id] == record for record in finished)

    cluster.remove_node(cluster.head_node, allow_graceful=False)
    ended = started.end()
    assert ended.code == 1, ended.stdout + ended.stderr
    assert "--resume" in ended.stderr
    assert "Traceback" not in ended.stderr
    kept = {record.trial_id: record for record in trials.finished()}

    foldtune.run("search", file, "--resume")
    trials.check_whole(8, LONG)
    assert {record.trial_id: record for record in trials.finished() if record.trial_id in kept} == kept
    assert [record.status for record in trials.finished()] == ["COMPLETE"] * 8
