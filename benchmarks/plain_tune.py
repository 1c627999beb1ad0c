"""The trainings of a run in Ray Tune as its documentation shows it: a function trainable, default settings.

Each trial has a fresh process (`reuse_actors` is off by default). Only Ray's own files are stored; checkpoints would
cost extra.

`python -m benchmarks.plain_tune RUN TRIALS WORKERS`
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune

from benchmarks.timeline import write_ends
from benchmarks.training import Trainings, trainings_of


def train(config: dict[str, Any], trainings: Trainings) -> None:
    """Train one configuration, reporting each epoch."""
    trainings.fit(config["number"], report=lambda found: tune.report({trainings.metric: found.best_value}))


class Ends(tune.Callback):  # type: ignore[misc]
    """Times at which Ray Tune registers the end of its trials, by number of the trial."""

    def __init__(self) -> None:
        self.by_number: dict[int, float] = {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the time."""
        self.by_number[trial.config["number"]] = time.time()


def main(run: str, trials: str, workers: str) -> None:
    """Train in the order of the trials and print their ends."""
    trainings = trainings_of(Path(run), int(trials))
    # "local": plain init would join a cluster that is running on this machine.
    ray.init(address="local", num_cpus=int(workers))
    ends = Ends()
    with tempfile.TemporaryDirectory(prefix="plain-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_parameters(train, trainings=trainings),
            param_space={"number": tune.grid_search(list(range(int(trials))))},
            run_config=tune.RunConfig(storage_path=scratch, callbacks=[ends]),
        )
        results = tuner.fit()
    ray.shutdown()
    if results.errors:
        raise SystemExit(f"{len(results.errors)} trials failed: {results.errors[0]}")
    write_ends([ends.by_number[number] for number in range(int(trials))])


if __name__ == "__main__":
    main(*sys.argv[1:])
