"""`python -m benchmarks.peers [--seconds 600] [--autogluon PYTHON] [--only SIDE] [--data FOLDER] [--output CSV]`.

Each side has the same wall time on the same rows, one after the other on an idle machine, and predicts rows that were
split off beforehand. `--autogluon` names the Python of an environment with `autogluon.multimodal`; without it that side
is left out, which is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.images import DEFAULT_DATA
from benchmarks.peers.tasks import TASKS, PeerTask, judge, split_off
from benchmarks.report import machine_line

HERE = Path(__file__).parent
MODEL = "mobilenetv3_small_050"
"""The network of all sides; AutoGluon's timm, 1.0.3, has none of the smaller `test_*` models."""
ENVIRONMENT = {"NO_ALBUMENTATIONS_UPDATE": "1", "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Work:
    """What one side has to do."""

    task: PeerTask
    train: Path
    test: Path
    images: Path
    out: Path
    seconds: float
    folder: Path


@dataclass(frozen=True)
class Did:
    """What one side came to; -1 trials where a side does not count them."""

    trials: int
    lines: int
    written: int


def by_foldtune(work: Work) -> Did:
    """A YAML and one command."""
    task, storage = work.task, work.folder / "runs"
    example = yaml.safe_load((HERE.parents[1] / "examples" / f"{task.name}.yaml").read_text())
    data = {key: example["data"][key] for key in ("target", "group", "label_separator") if key in example["data"]}
    config = {
        "name": "peer",
        "task": task.kind,
        "data": {**data, "train": str(work.train), "test": str(work.test), "images": str(work.images)}
        | {"image_size": task.size},
        "space": {**example["space"], "model_name": MODEL},
        "search": {"metric": task.metric, "num_samples": 1000, "max_epochs": 16, "seed": 0},
        "ensemble": {"top": 3, "folds": 3},
    }
    path = work.folder / "peer.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    limit = ["--time-limit", f"{work.seconds:.0f}s", "--storage", str(storage), "-o", str(work.out)]
    _run([sys.executable, "-m", "foldtune", "run", str(path), *limit])
    trials = list((storage / "peer" / "trials").iterdir())
    return Did(len(trials), len(path.read_text().splitlines()) + 1, _tree_size(storage))


def by_script(name: str, python: str) -> Callable[[Work], Did]:
    """A script as a user writes it, which prints its trials and the bytes that it wrote."""

    def run(work: Work) -> Did:
        task, script = work.task, HERE / name
        given = [work.train, work.test, work.images, work.out, task.kind, task.target, task.size, work.seconds]
        *_, last = _run([python, str(script), *map(str, given)]).strip().splitlines()
        _, trials, _, written = last.split()
        return Did(int(trials), _lines(script), int(written))

    return run


def _lines(script: Path) -> int:
    """Return the lines of a script that are neither empty nor a comment."""
    lines = map(str.strip, script.read_text().splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def _tree_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def measure(task: PeerTask, side: str, run: Callable[[Work], Did], data: Path, seconds: float) -> dict[str, object]:
    """Return one row of the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        train, test, held_back = split_off(task, data, folder)
        work = Work(task, train, test, data / task.name / "images", folder / "out.csv", seconds, folder)
        started = time.perf_counter()
        did = run(work)
        took_s = time.perf_counter() - started
        value, low, high = judge(task, held_back, work.out)
    return {
        "data": task.name,
        "side": side,
        "metric": task.metric,
        "value": round(value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "seconds": round(took_s),
        "trials": did.trials,
        "lines": did.lines,
        "MB": round(did.written / 1e6, 1),
    }


def main() -> None:
    """Measure every side on every data set and print a row as it ends."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--autogluon", help="Python of an environment that has autogluon.multimodal")
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options.add_argument("--data", type=Path, default=DEFAULT_DATA.parent)
    options.add_argument("--output", type=Path)
    given = options.parse_args()
    sides = {"foldtune": by_foldtune, "plain Ray Tune": by_script("plain_ray.py", sys.executable)}
    if given.autogluon:
        sides["AutoGluon"] = by_script("autogluon_side.py", given.autogluon)
    else:
        print("AutoGluon is left out: --autogluon PYTHON names an environment that has it", file=sys.stderr)
    print(machine_line())
    rows = []
    for name in given.tasks:
        for side, run in sides.items():
            rows.append(measure(TASKS[name], side, run, given.data, given.seconds))
            print(json.dumps(rows[-1]), flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if given.output is not None:
        table.to_csv(given.output, index=False)


if __name__ == "__main__":
    main()
