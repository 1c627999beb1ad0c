"""Every private name of Ray that foldtune uses, each behind a function of its own.

Ray may rename or remove a private name in any release. All of them stand here, and a test pins each, so that an upgrade
fails there, with the name, and not in a search. Each function's docstring gives why Ray's public interface is not
enough, and what Ray would have to offer instead. Ray is imported in the functions: most commands do not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from foldtune.redaction import redacted

HEAD_RESOURCE = "node:__internal_head__"
"""Resource that only the head node has. `ray.nodes()` has no other mark of the head."""
PACKAGING_LOGGER = "ray._private.runtime_env.packaging"
"""Logger of the upload of a job's files. `JobSubmissionClient` has no setting for its messages."""


def free_resources_by_node() -> Mapping[str, Mapping[str, float]]:
    """Return the free resources of each node of the connected cluster: by node id in hexadecimal, then by name.

    Private: `ray._private.state.available_resources_per_node`. `ray.available_resources` has only the sum over all
    nodes, and `ray.nodes` only totals. Ray would have to make this function public, see
    https://github.com/ray-project/ray/issues/60134.
    """
    from ray._private import state

    free: Mapping[str, Mapping[str, float]] = state.available_resources_per_node()
    return free


def driver_commands() -> dict[str, str]:
    """Return the command line of each driver of the connected cluster, without secrets, by job id in hexadecimal.

    Private: `ray._private.state.jobs`. `ray.util.state.list_jobs` gives the same through the dashboard, which need
    not run. Ray would have to read it from the head alone.
    """
    from ray._private import state

    return {job["JobID"]: redacted(job["Entrypoint"]) for job in state.jobs()}


def live_actors() -> list[Mapping[str, Any]]:
    """Return the live actors of the connected cluster, with `ActorClassName`, `JobID` and `Address`.

    Private: `ray._private.state.actors`. `ray.util.state.list_actors` needs the dashboard, as above.
    """
    from ray._private import state

    return list(state.actors(actor_state_name="ALIVE").values())


def reload_auth_mode() -> None:
    """Make Ray read its settings from the environment again, among them RAY_AUTH_MODE.

    Private: `ray._raylet.Config.initialize`. Ray reads its settings once, at import, and some module may have imported
    it before the address and so the mode of authentication were known. Ray would have to take the mode as an argument
    of `ray.init` and `JobSubmissionClient`. The effect is described in
    https://github.com/marin-community/marin/issues/2279.
    """
    from ray._raylet import Config  # type: ignore[attr-defined]

    Config.initialize("")


@contextmanager
def loopback_node() -> Iterator[None]:
    """While the block runs, a Ray that starts here gives its node the address 127.0.0.1, and listens there alone.

    Private: `ray._private.ray_constants.ENABLE_RAY_CLUSTER`, which Ray sets to False on Windows and macOS for the same
    effect. `ray.init(_node_ip_address="127.0.0.1")` is turned into the address that others reach, and then the
    exporters of metrics listen on every interface. Ray would have to keep a loopback address that it is given.
    """
    from ray._private import ray_constants

    original = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = original


@contextmanager
def no_secrets_in_runtime_env() -> Iterator[None]:
    """While the block runs, Ray Tune hands no `AWS_*` variables of the driver to the workers of trials.

    Private: `ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE`. Tune puts these variables into the runtime
    environment of its actors, which Ray's agent writes into a log that everybody on the machine can read. The workers
    of an embedded Ray inherit the driver's environment anyway; those of a cluster have that of their node. Ray would
    have to leave the choice of the variables to the caller.
    """
    from ray.tune.execution import class_cache

    original = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in original if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = original


@contextmanager
def translate_actor_failures(translate: Callable[[Exception], Exception]) -> Iterator[None]:
    """While the block runs, Ray Tune handles `translate(error)` in place of the error of an actor's task.

    Private: `RayActorManager._actor_task_failed` of `ray.air.execution._internal`. Ray Tune handles the death of an
    actor (`ActorDiedError`), but ends the whole search where the memory monitor ended the actor (`OutOfMemoryError`).
    Ray would have to handle both as a failure of the trial.
    """
    from ray.air.execution._internal import RayActorManager

    original = RayActorManager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        original(self, tracked_actor_task, translate(exception))

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original


@dataclass(frozen=True)
class _TrialId:
    """The part of a trial that a bracket reads."""

    trial_id: str


def record_in_bracket(asha: Any, trial_id: str, epoch: int, value: float, bracket: int = 0) -> str:
    """Record a value in a bracket of an ASHAScheduler; return its decision, "STOP" or "CONTINUE".

    Private: `ASHAScheduler._brackets`. The scheduler records values under Ray's trial ids, which change at every start
    of a search, and Ray does not save its rungs with an experiment. Ray would have to restore the state of schedulers:
    https://github.com/ray-project/ray/issues/30838.

    Args:
        epoch: epoch of the value, from 1.
        value: value, the higher the better.
        bracket: number of the bracket, from 0: that many of the first one's rungs are left out.
    """
    return str(asha._brackets[bracket].on_result(_TrialId(trial_id), epoch, value))
