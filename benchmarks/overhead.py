"""Cost of a search beyond its trainings: `foldtune search`, a bare loop, and plain Ray Tune.

`python -m benchmarks.overhead [--quick] [--output FILE]`
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from benchmarks.report import Figure, cores, machine_line, median_figure, parser, publish
from benchmarks.timeline import Timeline, read_ends

ROOT = Path(__file__).resolve().parent.parent
TITLE = "overhead: a search of short trials"
MAX_SECONDS_BEYOND, MIN_TIMES_PLAIN = 0.5, 3.0


@dataclass(frozen=True)
class Plan:
    """Size of the measurement; fewer `plain_trials`, since each takes many times its training."""

    trials: int = 24
    plain_trials: int = 8
    epochs: int = 4
    rounds: int = 3
    workers: int = 2


QUICK = Plan(trials=8, plain_trials=4, rounds=1)


@dataclass(frozen=True)
class Round:
    """One measurement of the three ways."""

    search: Timeline
    bare: Timeline
    plain: Timeline


def measure(plan: Plan, folder: Path) -> list[Figure]:
    """Run the rounds in `folder` and return their figures."""
    from foldtune.trainers.data.digits import write_digits

    write_digits(folder / "digits")
    return figures([run_round(plan, folder, f"round-{number}") for number in range(plan.rounds)])


def run_round(plan: Plan, folder: Path, name: str) -> Round:
    """Search, then repeat its trainings in the other two ways."""
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump(search_config(plan, folder, name)))
    environment = {**os.environ, "FOLDTUNE_CACHE": str(folder / "cache")}
    started = time.time()
    foldtune = "from foldtune.search.cli import main; main()"
    _run(["-c", foldtune, "search", str(config)], environment)
    run = folder / "runs" / name
    search = Timeline(started, trial_ends(run), plan.workers)
    # Ray limits a worker of one CPU to one thread, too.
    bare = _repeat("benchmarks.bare_loop", run, plan.trials, plan.workers, {**environment, "OMP_NUM_THREADS": "1"})
    plain = _repeat("benchmarks.plain_tune", run, plan.plain_trials, plan.workers, environment)
    return Round(search, bare, plain)


def search_config(plan: Plan, folder: Path, name: str) -> dict[str, object]:
    """Return the configuration of a search without early stopping, whose trials all take about 1 s on a core."""
    return {
        "name": name,
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
            "batch_size": 64,
            "augmentation": {"name": "shift", "strength": {"uniform": [0.2, 1.0]}},
            "lr": {"loguniform": [1.0e-3, 3.0e-2]},
            "weight_decay": {"loguniform": [1.0e-4, 1.0e-1]},
            "drop_rate": {"uniform": [0.0, 0.3]},
            "loss": {"choice": {"cross_entropy": None, "focal": {"gamma": {"uniform": [0.0, 3.0]}}}},
        },
        "search": {"num_samples": plan.trials, "max_epochs": plan.epochs, "trial_scheduler": "none"},
        "resources": {"cpus_per_trial": 1, "max_concurrent_trials": plan.workers},
        "ensemble": {"folds": 3},
        "storage": str(folder / "runs"),
    }


def trial_ends(run: Path) -> tuple[float, ...]:
    """Return the recorded end of each trial of a finished run, in seconds since 1970."""
    from foldtune.results.runs.store import RunStore

    store = RunStore.open(run)
    records = store.trials()
    failed = [record for record in records if record.status != "COMPLETE"]
    if failed:
        raise RuntimeError(f"{len(failed)} trials did not complete; {failed[0].trial_id}: {failed[0].error}")
    return tuple(store.trial(record.trial_id).done_path.stat().st_mtime for record in records)


def _repeat(module: str, run: Path, trials: int, workers: int, environment: Mapping[str, str]) -> Timeline:
    started = time.time()
    output = _run(["-m", module, str(run), str(trials), str(workers)], environment)
    return Timeline(started, read_ends(output), workers)


def _run(arguments: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def figures(rounds: list[Round]) -> list[Figure]:
    """Return the medians over the rounds."""
    trained = statistics.median(each.bare.seconds_a_trial for each in rounds)
    return [
        median_figure(
            "foldtune search beyond the bare loop, warm",
            [each.search.seconds_a_trial - each.bare.seconds_a_trial for each in rounds],
            "s a trial",
            target=MAX_SECONDS_BEYOND,
            at_most=True,
        ),
        median_figure(
            "trials an hour over plain Ray Tune, warm",
            [each.search.trials_an_hour / each.plain.trials_an_hour for each in rounds],
            "x",
            target=MIN_TIMES_PLAIN,
        ),
        *_seconds("bare loop", [each.bare for each in rounds]),
        *_seconds("foldtune search", [each.search for each in rounds]),
        *_seconds("plain Ray Tune", [each.plain for each in rounds]),
        *_start_up("foldtune search", [each.search for each in rounds], trained),
        *_start_up("plain Ray Tune", [each.plain for each in rounds], trained),
    ]


def _seconds(name: str, timelines: list[Timeline]) -> list[Figure]:
    an_hour = statistics.median(each.trials_an_hour for each in timelines)
    detail = f"{an_hour:,.0f} trials an hour"
    return [median_figure(name, [each.seconds_a_trial for each in timelines], "s a trial", detail=detail)]


def _start_up(name: str, timelines: list[Timeline], trained: float) -> list[Figure]:
    return [median_figure(f"{name}, start-up", [each.start_up_s(trained) for each in timelines], "s")]


def main() -> None:
    """Run the benchmark and print its figures."""
    options = parser(__doc__)
    options.add_argument("--workers", type=int, default=min(2, cores()), help="trials at a time")
    given = options.parse_args()
    machine = machine_line()
    publish({TITLE: run(quick=given.quick, workers=given.workers)}, machine, given.output)


def run(*, quick: bool, workers: int = 2) -> list[Figure]:
    """Run the benchmark in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="foldtune-bench-") as folder:
        return measure(replace(QUICK if quick else Plan(), workers=workers), Path(folder))


if __name__ == "__main__":
    main()
