"""Keeps a search alive where Ray's memory monitor ends a worker.

Ray Tune handles one error of a worker's end, that its actor died. Where the memory monitor ended the worker, Ray raises
another error, and Ray Tune ends the whole search with "Caught unexpected exception".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import ActorDiedError, OutOfMemoryError

from foldtune.cluster.ray_internals import translate_actor_failures


class MemoryDeath(ActorDiedError):  # type: ignore[misc]
    """The memory monitor ended the worker, as an error that Ray Tune handles."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[MemoryDeath], tuple[str]]:
        return MemoryDeath, (self.message,)


@contextmanager
def memory_deaths() -> Iterator[None]:
    """While the block runs, Ray Tune handles a worker that the memory monitor ended as a dead one."""
    with translate_actor_failures(_as_death):
        yield


def _as_death(error: Exception) -> Exception:
    return MemoryDeath(str(error)) if isinstance(error, OutOfMemoryError) else error
