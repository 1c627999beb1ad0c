"""Time limits over the whole chain: is a limit kept, is it used, and is there always a valid submission?

`python -m benchmarks.deadline [--limits 180 240 …] [--data FOLDER] [--output FILE]`: one `foldtune run --time-limit` a
limit, over three data sets in turns; by default ten runs of 3 to 30 minutes, two hours and a half in all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import pandas as pd

from benchmarks.images import DEFAULT_DATA
from benchmarks.report import Figure, machine_line, publish
from foldtune.results.runs.store import RunStore

ROOT = Path(__file__).resolve().parent.parent
LIMITS = (180, 240, 300, 360, 480, 600, 900, 1200, 1500, 1800)
DATA_SETS = ("retinamnist", "ham10000", "mosaic")
TITLE = "deadline: the whole chain in a time"


def over_s(limit_s: float, took_s: float) -> float:
    """Return the seconds beyond what a run may take, the limit and the larger of 3 % and 20 s; negative within it."""
    return took_s - limit_s - max(0.03 * limit_s, 20.0)


def run(name: str, limit_s: int, data: Path, folder: Path) -> Figure:
    """Run the chain of an example once; the figure is the part of the limit that was used."""
    submission, started = folder / "submission.csv", time.perf_counter()
    command = [
        *(sys.executable, "-m", "foldtune", "run", str(ROOT / "examples" / f"{name}.yaml")),
        *("--time-limit", f"{limit_s}s", "-o", str(submission)),
        *("--set", f"data.root={data / name}", "--set", f"storage={folder / 'runs'}"),
        *("--set", "search.num_samples=1000", "--set", f"data.cache_dir={folder / 'cache'}"),
    ]
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}
    )
    took_s = time.perf_counter() - started
    trials = RunStore(folder / "runs" / name).trials()
    notes = [
        f"{took_s:.0f} of {limit_s} s",
        f"{sum(trial.status == 'COMPLETE' for trial in trials)} of {len(trials)} trials to the end",
        "submission valid" if _is_valid(submission, data / name / "sample_submission.csv") else "NO VALID SUBMISSION",
    ]
    if (late_s := over_s(limit_s, took_s)) > 0:
        notes.append(f"{late_s:.0f} s TOO LATE")
    if process.returncode:
        notes.append(f"exit code {process.returncode}: {process.stderr.strip().splitlines()[-1:]}")
    return Figure(f"{name}, {limit_s} s", took_s / limit_s, "of the limit", target=0.9, detail="; ".join(notes))


def _is_valid(submission: Path, sample: Path) -> bool:
    if not submission.exists():
        return False
    written, wanted = (pd.read_csv(path, dtype=str) for path in (submission, sample))
    ids = wanted.columns[0]
    return list(written) == list(wanted) and written[ids].equals(wanted[ids]) and len(written) > 0


def main() -> None:
    """Run one chain after the other, print each as it ends, then all."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--limits", type=int, nargs="+", default=LIMITS, help="seconds, one run each")
    options.add_argument("--data", type=Path, default=DEFAULT_DATA.parent, help="folder of the data sets")
    options.add_argument("--output", type=Path)
    given = options.parse_args()
    machine, figures = machine_line(), []
    for name, limit_s in zip(cycle(DATA_SETS), given.limits, strict=False):
        with tempfile.TemporaryDirectory() as folder:
            figures.append(run(name, limit_s, given.data, Path(folder)))
        print(f"{figures[-1].name}: {figures[-1].detail}", flush=True)
    publish({TITLE: figures}, machine, given.output)


if __name__ == "__main__":
    main()
