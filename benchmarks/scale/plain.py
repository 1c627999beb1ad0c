"""The same search in plain Ray Tune with its OptunaSearch: default settings, but workers are reused.

`python -m benchmarks.scale.plain FOLDER TRIALS REPORTS WORKERS`
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch

from benchmarks.scale.replay import METRIC, SPACE, curve_of
from benchmarks.scale.usage import Usage
from foldtune.spaces import Space


class ReplayTrainable(tune.Trainable):  # type: ignore[misc]
    """The curve of the configuration, without storage."""

    def setup(self, config: Mapping[str, Any], reports: int) -> None:
        """Set up the worker."""
        self._reports = reports
        self.reset_config(config)

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Load the next trial."""
        self._epoch, self._curve = 0, curve_of(new_config["params"], self._reports)
        return True

    def step(self) -> dict[str, Any]:
        """Report one epoch."""
        self._epoch += 1
        return {METRIC: self._curve[self._epoch - 1], "done": self._epoch >= self._reports}


class Ends(tune.Callback):  # type: ignore[misc]
    """Records the end of each trial."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the end of a trial."""
        self._usage.end()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def propose(trial: optuna.Trial) -> dict[str, Any]:
    """Suggest from the same space by define-by-run; OptunaSearch reads the constants from the return value."""
    return {"params": Space.parse(SPACE).suggest(trial)}


class Timed(OptunaSearch):  # type: ignore[misc]
    """OptunaSearch whose proposals are timed."""

    usage: Usage

    def suggest(self, trial_id: str) -> Any:
        """Propose a configuration."""
        return self.usage.timed(super().suggest)(trial_id)


def main(folder: str, trials: str, reports: str, workers: str) -> None:
    """Search."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    usage = Usage()
    # "local": plain init would join a cluster that is running on this machine.
    ray.init(address="local", num_cpus=int(workers), include_dashboard=False, log_to_driver=False)
    searcher = Timed(propose, metric=METRIC, mode="max")
    searcher.usage = usage
    results = tune.Tuner(
        tune.with_parameters(ReplayTrainable, reports=int(reports)),
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=int(trials), reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=folder,
            callbacks=[Ends(usage)],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    ray.shutdown()
    if results.errors:
        raise results.errors[0]
    usage.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
