"""Trials a minute, proposals and resumption of large searches: `python -m benchmarks.scale [--quick]`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Figure, machine_line, parser, publish
from benchmarks.scale.usage import Usage, read_usage

ROOT = Path(__file__).resolve().parents[2]
TITLE = "scale: searches of replayed trials"
MOST_TIMES_SLOWER, MOST_RESUME_S = 2.0, 10.0
WINDOW = 100
"""Proposals whose median is one time."""


@dataclass(frozen=True)
class Plan:
    """Trials, reports of each, logical workers, and the numbers of trials at which both sides are compared."""

    trials: int = 1000
    reports: int = 20
    workers: int = 64
    sizes: tuple[int, ...] = (200, 500, 1000)


QUICK = Plan(trials=300, reports=10, workers=16, sizes=(100, 300))


def measure(plan: Plan, folder: Path) -> list[Figure]:
    """Both sides, one after the other, then the resumption of ours."""
    plain = read_usage(_run("benchmarks.scale.plain", folder / "plain", plan))
    ours = read_usage(_run("benchmarks.scale.ours", folder / "ours", plan))
    resume_s = float(json.loads(_run("benchmarks.scale.ours", folder / "ours", plan, "resume").splitlines()[-1]))
    return figures(plan, ours, plain, resume_s)


def _run(module: str, folder: Path, plan: Plan, *more: str) -> str:
    sizes = [str(number) for number in (plan.trials, plan.reports, plan.workers)]
    command = [sys.executable, "-m", module, str(folder), *sizes, *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def figures(plan: Plan, ours: Usage, plain: Usage, resume_s: float) -> list[Figure]:
    """Rates from the end of the first trial on; times of a proposal as CPU time of the driver."""
    found = []
    for size in plan.sizes:
        mine, theirs = trials_a_minute(ours.ends_s, size), trials_a_minute(plain.ends_s, size)
        detail = f"{mine:,.0f} against {theirs:,.0f} a minute"
        found.append(
            Figure(f"trials a minute over plain Ray Tune, {size} trials", mine / theirs, "x", 1.0, detail=detail)
        )
    found.append(slower_by(ours, "a proposal late over early", MOST_TIMES_SLOWER))
    found.append(slower_by(plain, "the same of plain Ray Tune"))
    found.append(Figure(f"opening a run of {plan.trials} trials again", resume_s, "s", MOST_RESUME_S, True))
    for name, usage in (("foldtune", ours), ("plain Ray Tune", plain)):
        found.append(Figure(f"CPU time of the driver, {name}", 1e3 * usage.cpu_s / len(usage.ends_s), "ms a trial"))
        memory = f"{usage.rss_mb[0]:.0f} MB after 100 trials"
        found.append(Figure(f"memory of the driver at the end, {name}", usage.rss_mb[-1], "MB", detail=memory))
    return found


def trials_a_minute(ends_s: Sequence[float], size: int) -> float:
    """Between the end of the first and of trial number `size`."""
    return 60 * (size - 1) / sorted(ends_s)[size - 1]


def slower_by(usage: Usage, name: str, most: float | None = None) -> Figure:
    """The last WINDOW proposals over those from trial 100 on, as medians of CPU time; a third of a small search."""
    times_ms = [1e3 * seconds for seconds in usage.suggest_cpu_s]
    window = min(WINDOW, len(times_ms) // 3)
    first = min(100, len(times_ms) // 3)
    early, late = statistics.median(times_ms[first : first + window]), statistics.median(times_ms[-window:])
    detail = f"{early:.0f} ms from trial {first} on, {late:.0f} ms up to {len(times_ms)}"
    return Figure(name, late / early, "x", most, True, detail)


def main() -> None:
    """Measure and print."""
    given = parser(__doc__).parse_args()
    machine = machine_line()
    with tempfile.TemporaryDirectory(prefix="foldtune-scale-") as folder:
        publish({TITLE: measure(QUICK if given.quick else Plan(), Path(folder))}, machine, given.output)


if __name__ == "__main__":
    main()
