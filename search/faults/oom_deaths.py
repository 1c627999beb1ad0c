"""Lets a search outlive Ray's memory monitor.

Ray Tune knows one way in which a worker goes: that its actor died. Where the memory monitor ended it, Ray says so with
an error of another kind, and Ray Tune ends the whole search with "Caught unexpected exception".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import ActorDiedError, OutOfMemoryError


class MemoryDeath(ActorDiedError):  # type: ignore[misc]
    """A worker that the memory monitor ended, as a worker that died."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[MemoryDeath], tuple[str]]:
        return MemoryDeath, (self.message,)


@contextmanager
def memory_deaths() -> Iterator[None]:
    """While the block runs, Ray Tune takes a worker that the memory monitor ended for one that died."""
    stock = RayActorManager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        known = MemoryDeath(str(exception)) if isinstance(exception, OutOfMemoryError) else exception
        stock(self, tracked_actor_task, known)

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = stock
