"""A foldtune search of replayed trials: driver, study, store and leaderboard; nothing is trained.

`python -m benchmarks.scale.ours FOLDER TRIALS REPORTS WORKERS` searches; with RESUME as a fifth argument it resumes
the run and prints the time in seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ray import tune

from benchmarks.scale.replay import METRIC, SPACE, curve_of
from benchmarks.scale.usage import Usage
from foldtune.cluster.sessions.session import session
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import EpochRow, TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.search.config.schema import RunConfig
from foldtune.search.tuning.monitor import SearchState
from foldtune.search.tuning.searcher import StudySearcher
from foldtune.search.tuning.tuner import Search
from foldtune.search.workers.trainable import TRIAL_KEY
from foldtune.spaces import Space

NAME = "scale"


class ReplayTrainable(tune.Trainable):  # type: ignore[misc]
    """Like `search.workers.trainable.TrialTrainable`, storing each epoch before its report to Ray, without training."""

    def setup(self, config: Mapping[str, Any], root: str, reports: int) -> None:
        """Set up the worker."""
        self._store, self._reports = RunStore(Path(root)), reports
        self.reset_config(config)

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Load the next trial."""
        self._directory = self._store.trial(new_config[TRIAL_KEY])
        record = self._directory.record()
        assert record is not None
        self._epoch, self._curve = 0, curve_of(record.params, self._reports)
        return True

    def step(self) -> dict[str, Any]:
        """Report one epoch."""
        self._epoch += 1
        value, done = self._curve[self._epoch - 1], self._epoch >= self._reports
        metrics = {METRIC: value, "loss": 1 - value}
        self._directory.append_epoch(EpochRow(self._epoch, metrics, self._epoch, metrics, 1.0, 100.0, 1e-3, 64, 4.9))
        key = self._directory.trial_id
        return {TRIAL_KEY: key, "epoch": self._epoch, METRIC: value, "done": done, "finished": done}


class ReplaySearch(Search):
    """A search with ReplayTrainable."""

    def _trainable(self) -> Any:
        root, reports = str(self.store.root.absolute()), self.config.search.max_epochs
        return tune.with_parameters(ReplayTrainable, root=root, reports=reports)


class Ends:
    """Records the end of each trial."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def on_finished(self, state: SearchState, record: TrialRecord) -> None:
        """Record the end of a trial."""
        self._usage.end()

    def on_epoch(self, state: SearchState, trial_id: str) -> None:
        """Ignore reports."""

    def on_interrupt(self) -> None:
        """Ignore Ctrl-C, which the search obeys."""


def search_of(folder: Path, trials: int, reports: int, workers: int, *, resumed: bool) -> ReplaySearch:
    """Return the search of these sizes; its run is created unless resumed."""
    config = RunConfig.model_validate(
        {
            "name": NAME,
            "task": "multiclass",
            "data": {"train": "train.csv", "target": "label"},
            "space": SPACE,
            "search": {"num_samples": trials, "max_epochs": reports, "trial_scheduler": "none"},
            "resources": {"max_concurrent_trials": workers},
        }
    )
    if resumed:
        store = RunStore.open(NAME, folder)
    else:
        store = RunStore.create(folder, NAME)
        store.write_config(config.model_dump(mode="json"))
    rows: Any = SimpleNamespace(task=SimpleNamespace(metrics={METRIC: "max", "loss": "min"}))
    return ReplaySearch(config, store, Space.parse(SPACE), rows, Goal(METRIC, "max"), resumed=resumed)


def main(folder: str, trials: str, reports: str, workers: str, resume: str | None = None) -> None:
    """Search, or resume."""
    search = search_of(Path(folder), int(trials), int(reports), int(workers), resumed=resume is not None)
    usage = Usage()
    if resume is not None:
        started_s = time.monotonic()
        search.run(Ends(usage))
        sys.stdout.write(json.dumps(time.monotonic() - started_s) + "\n")
        return
    suggest = StudySearcher.suggest
    StudySearcher.suggest = lambda self, trial_id: usage.timed(  # type: ignore[method-assign]
        lambda name: suggest(self, name)
    )(trial_id)
    with session(num_cpus=int(workers)):
        search.run(Ends(usage))
    usage.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
