"""The trainings of a run in a bare process pool, without Ray and storage.

`python -m benchmarks.bare_loop RUN TRIALS WORKERS`
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.timeline import write_ends
from benchmarks.training import Trainings, trainings_of

RAY_NICENESS = 15
"""Default niceness of Ray's workers; without it other processes on the machine would slow down Ray's side only."""


def train(trainings: Trainings, number: int) -> float:
    """Train configuration `number`; return the time of its end in seconds since 1970."""
    trainings.fit(number)
    return time.time()


def main(run: str, trials: str, workers: str) -> None:
    """Train in the order of the trials and print their ends."""
    trainings = trainings_of(Path(run), int(trials))
    spawn = get_context("spawn")
    with ProcessPoolExecutor(int(workers), mp_context=spawn, initializer=os.nice, initargs=(RAY_NICENESS,)) as pool:
        write_ends(list(pool.map(partial(train, trainings), range(int(trials)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
