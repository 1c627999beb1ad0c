"""Failures that are not the trial's: the storage, the images, memory, a worker. Nothing heavy is imported here."""

from __future__ import annotations

from foldtune.errors import FoldtuneError, ProcessLost, StorageError, SurroundingsFailed

SURROUNDINGS_KEY = "surroundings"
"""Key of a result: its error is not the trial's."""
MAX_PAUSE_S = 8.0
MAX_FAILURES = 2
"""Failures in a row of one process that are not its trials', after which another process takes its place."""
_MARKS = ("CUDA error", "cuDNN error", "NCCL", "DataLoader worker")
"""Parts of torch's messages about a device or a process that is lost."""


def is_surroundings(error: BaseException) -> bool:
    """Whether a failure of a training is not the trial's own, so that it may be tried again.

    >>> is_surroundings(OSError("stale file handle")), is_surroundings(ValueError("lr"))
    (True, False)
    """
    if isinstance(error, FoldtuneError):
        return isinstance(error, StorageError | SurroundingsFailed | ProcessLost)
    return isinstance(error, OSError | MemoryError) or any(mark in str(error) for mark in _MARKS)


def pause_s(failures: int) -> float:
    """Return the seconds that a process waits after so many failures in a row, so that others take the next trials.

    >>> [pause_s(failures) for failures in (1, 2, 3, 9)]
    [0.0, 2.0, 4.0, 8.0]
    """
    return 0.0 if failures < 2 else min(MAX_PAUSE_S, 2.0 ** (failures - 1))
