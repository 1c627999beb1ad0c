"""One call of a function in a worker of the connected session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import ray

from foldtune.cluster.resources import TrialResources
from foldtune.errors import WorkError

R = TypeVar("R")


def in_worker(function: Callable[[Any], R], argument: Any, trial: TrialResources) -> R:
    """Return what a function of a module returns in a worker that has a trial's resources.

    Raises:
        WorkError: it failed, or its worker died.
    """
    task: Any = ray.remote(function)
    try:
        result: R = ray.get(task.options(num_cpus=trial.cpus, num_gpus=trial.gpus).remote(argument))
    except ray.exceptions.RayError as error:
        raise WorkError(f"{function.__name__} failed in a worker: {str(error).splitlines()[-1]}") from error
    return result
