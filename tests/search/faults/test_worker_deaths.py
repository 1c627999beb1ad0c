"""Causes of dead workers from Ray Tune's notes, and workers that the memory monitor ended."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from ray.air.execution._internal import RayActorManager
from ray.air.execution._internal.tracked_actor import TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.exceptions import OutOfMemoryError

from foldtune.search.faults.worker_deaths import Cause, MemoryDeath, memory_deaths, noted_cause

SHORT = "2 worker(s) were killed due to the node running low on memory."


class NoResources:
    """A resource manager without a cluster."""

    def free_resources(self, acquired_resource: object) -> None:
        pass


def fail(manager: RayActorManager) -> list[Any]:
    """Return the errors of an actor that the memory monitor ends in the middle of a task."""
    errors: list[Any] = []
    actor = TrackedActor(1, on_error=lambda actor, error: errors.append(error))
    manager._live_actors_to_ray_actors_resources[actor] = (None, None)
    manager._actor_task_failed(TrackedActorTask(actor), OutOfMemoryError(SHORT))
    return errors


def test_out_of_memory_is_a_dead_actor_for_ray_tune() -> None:
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


KILLED = """The actor died unexpectedly before finishing this task.
\tclass_name: with_resources.<locals>.ResourceTrainable
\tpid: 16005
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker \
unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed \
by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker crashed unexpectedly.
"""
TRACE = """ray::ResourceTrainable.train() (pid=3235, ip=192.0.2.2)
  File "search/trainable.py", line 79, in step
    report = self._fit.step()
             ^^^^^^^^^^^^^^^^
ProcessLost: process 2 of 2 of the training (pid 3281) was killed by SIGKILL
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            KILLED,
            "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
            "Worker unexpectedly exits with a connection error code 2. End of file.",
        ),
        (TRACE, "process 2 of 2 of the training (pid 3281) was killed by SIGKILL"),
        (f"\x1b[36m{TRACE}\x1b[39m", "process 2 of 2 of the training (pid 3281) was killed by SIGKILL"),
        (
            f"{TRACE}with what follows\nin more lines\n",
            "process 2 of 2 of the training (pid 3281) was killed by SIGKILL",
        ),
    ],
)
def test_a_reason_has_no_guesses_and_no_frames(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "error.txt").write_text(f"Failure # 1 (occurred at 1)\n{text}")
    assert noted_cause(str(tmp_path / "error.txt")) == Cause("lost", reason)


def test_a_death_without_a_note_is_a_lost_worker(tmp_path: Path) -> None:
    for file in (None, str(tmp_path / "absent.txt")):
        assert noted_cause(file) == Cause("lost", "no reason was noted")


def test_all_that_was_noted_is_kept_without_colours(tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text(f"Failure # 1 (occurred at 1)\n\x1b[36m{TRACE}\x1b[39m")
    assert noted_cause(str(tmp_path / "error.txt")).details.splitlines() == TRACE.splitlines()
