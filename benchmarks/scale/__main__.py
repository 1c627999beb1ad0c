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
MAX_TIMES_SLOWER, MAX_RESUME_S = 2.0, 10.0
WINDOW = 100
"""Number of proposals per median."""


@dataclass(frozen=True)
class Plan:
    """Trials, reports per trial, logical workers, and the numbers of trials at which both sides are compared."""

    trials: int = 1000
    reports: int = 20
    workers: int = 64
    sizes: tuple[int, ...] = (200, 500, 1000)


QUICK = Plan(trials=300, reports=10, workers=16, sizes=(100, 300))


def measure(plan: Plan, folder: Path) -> list[Figure]:
    """Run both sides, one after the other, then resume foldtune's run; return the figures."""
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
    """Return rates from the end of the first trial on, and CPU times of proposals in the driver."""
    found = []
    for size in plan.sizes:
        mine, theirs = trials_a_minute(ours.ends_s, size), trials_a_minute(plain.ends_s, size)
        detail = f"{mine:,.0f} against {theirs:,.0f} a minute"
        found.append(
            Figure(f"trials a minute over plain Ray Tune, {size} trials", mine / theirs, "x", 1.0, detail=detail)
        )
    found.append(slower_by(ours, "a proposal late over early", MAX_TIMES_SLOWER))
    found.append(slower_by(plain, "the same of plain Ray Tune"))
    found.append(Figure(f"opening a run of {plan.trials} trials again", resume_s, "s", MAX_RESUME_S, True))
    for name, usage in (("foldtune", ours), ("plain Ray Tune", plain)):
        found.append(Figure(f"CPU time of the driver, {name}", 1e3 * usage.cpu_s / len(usage.ends_s), "ms a trial"))
        memory = f"{usage.rss_mb[0]:.0f} MB after 100 trials"
        found.append(Figure(f"memory of the driver at the end, {name}", usage.rss_mb[-1], "MB", detail=memory))
    return found


def trials_a_minute(ends_s: Sequence[float], size: int) -> float:
    """Return trials a minute between the end of the first trial and of number `size`."""
    return 60 * (size - 1) / sorted(ends_s)[size - 1]


def slower_by(usage: Usage, name: str, limit: float | None = None) -> Figure:
    """Return the median CPU time of the last WINDOW proposals over that of WINDOW proposals from trial 100 on."""
    times_ms = [1e3 * seconds for seconds in usage.suggest_cpu_s]
    window = min(WINDOW, len(times_ms) // 3)
    first = min(100, len(times_ms) // 3)
    early, late = statistics.median(times_ms[first : first + window]), statistics.median(times_ms[-window:])
    detail = f"{early:.0f} ms from trial {first} on, {late:.0f} ms up to {len(times_ms)}"
    return Figure(name, late / early, "x", limit, True, detail)


def main() -> None:
    """Run the benchmark and print its figures."""
    given = parser(__doc__).parse_args()
    machine = machine_line()
    with tempfile.TemporaryDirectory(prefix="foldtune-scale-") as folder:
        publish({TITLE: measure(QUICK if given.quick else Plan(), Path(folder))}, machine, given.output)


if __name__ == "__main__":
    main()
