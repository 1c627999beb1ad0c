"""The number types and memory layouts of a new run's models, timed where its trials run."""

from __future__ import annotations

from foldtune.cluster.worker_call import in_worker
from foldtune.errors import WorkError
from foldtune.results.records.measured_file import ModelFormats
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.terminal import note
from foldtune.search.runs.formats import format_work, time_models
from foldtune.search.runs.validation import Checked


def timed_formats(checked: Checked, ray: RaySession) -> tuple[ModelFormats, ...]:
    """Time the models whose format is `auto`: in a worker of a cluster or of a GPU, else in this process."""
    work = format_work(checked)
    if work is None:
        return ()
    if not ray.joins and not work.gpu:
        with progress_bar("timing models") as progress:
            return tuple(time_models(work, progress))
    resources = checked.config.resources
    ray.connect(resources)
    try:
        return tuple(in_worker(time_models, work, resources.of_trial))
    except WorkError as error:
        note(f"models train in the default number type and memory layout, since no other could be timed: {error}")
        return ()
