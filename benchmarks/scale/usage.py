"""Resources used by a driver during a search, printed for the parent process."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Usage:
    """Resources of one search.

    Attributes:
        ends_s: end of each trial, in seconds since the end of the first one, which excludes the start of workers.
        suggest_cpu_s: CPU time of each proposal in the driver.
        rss_mb: memory of the driver after each hundredth trial.
        cpu_s: CPU time of the driver from start to end.
    """

    ends_s: list[float] = field(default_factory=list)
    suggest_cpu_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    _started_cpu_s: float = field(default_factory=time.process_time)

    def timed(self, suggest: Callable[[str], Any]) -> Callable[[str], Any]:
        """Return `suggest` of a searcher, with its CPU time recorded at each proposal."""

        def wrapped(trial_id: str) -> Any:
            started_s = time.thread_time()
            found = suggest(trial_id)
            if isinstance(found, dict):
                self.suggest_cpu_s.append(time.thread_time() - started_s)
            return found

        return wrapped

    def end(self) -> None:
        """Record the end of a trial."""
        self.ends_s.append(time.monotonic())
        if len(self.ends_s) % 100 == 0:
            self.rss_mb.append(resident_mb())

    def write(self) -> None:
        """Print the usage as JSON, the last line of the output."""
        self.cpu_s = time.process_time() - self._started_cpu_s
        values = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        values["ends_s"] = [end - self.ends_s[0] for end in self.ends_s]
        sys.stdout.write("\n" + json.dumps(values) + "\n")


def resident_mb() -> float:
    """Return the resident memory of this process in MB; its peak outside Linux."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_usage(output: str) -> Usage:
    """Return the usage printed by `Usage.write`."""
    return Usage(**json.loads(output.strip().splitlines()[-1]))
