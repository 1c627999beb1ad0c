"""Why a worker died, as Ray Tune notes it, and that Ray Tune can live with it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError

from search.deaths import Cause, noted_cause
from search.memorydeaths import MemoryDeath, memory_deaths

SHORT = "2 worker(s) were killed due to the node running low on memory."


class NoResources:
    """A resource manager of a cluster that is not there."""

    def free_resources(self, acquired_resource: object) -> None:
        pass


def fail(manager: RayActorManager) -> list[Any]:
    """What an actor's owner hears where the memory monitor ends it in the middle of a task."""
    heard: list[Any] = []
    actor = TrackedActor(1, on_error=lambda actor, error: heard.append(error))
    manager._live_actors_to_ray_actors_resources[actor] = (None, None)
    manager._actor_task_failed(TrackedActorTask(actor), OutOfMemoryError(SHORT))
    return heard


def test_ray_tune_hears_of_a_death_where_memory_ran_out() -> None:
    with pytest.raises(RuntimeError, match="unexpected exception"):
        fail(RayActorManager(NoResources()))
    with memory_deaths():
        (error,) = fail(RayActorManager(NoResources()))
    assert isinstance(error, MemoryDeath)
    assert str(pickle.loads(pickle.dumps(error))) == SHORT
    with pytest.raises(RuntimeError, match="unexpected exception"):
        fail(RayActorManager(NoResources()))


def test_the_last_of_several_deaths_counts(tmp_path: Path) -> None:
    noted = tmp_path / "error.txt"
    noted.write_text(f"Failure # 1 (occurred at 1)\n{SHORT}\nFailure # 2 (occurred at 2)\nThe actor died.\n\tpid: 7\n")
    assert noted_cause(str(noted)) == Cause("lost", "The actor died. pid: 7")
    noted.write_text(noted.read_text() + f"Failure # 3 (occurred at 3)\n{SHORT}\nMemory on the node: 7 GB\n")
    assert noted_cause(str(noted)).kind == "memory"


def test_a_death_without_a_note_is_a_lost_worker(tmp_path: Path) -> None:
    for file in (None, str(tmp_path / "absent.txt")):
        assert noted_cause(file) == Cause("lost", "no reason was noted")
