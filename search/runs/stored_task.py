"""The task of a stored run or ensemble, built from what its file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foldtune.errors import FoldtuneError, RunCorrupt
from foldtune.results.storage.paths import StorePath
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.task import stored_task


def read_task(values: Mapping[str, Any], path: StorePath) -> Task:
    """Return the task of a stored mapping.

    Args:
        values: what `Task.to_dict` wrote.
        path: file that holds it, for messages.

    Raises:
        RunCorrupt: no such task, or values that are none of its.
    """
    try:
        return stored_task(values)
    except FoldtuneError as error:
        raise RunCorrupt(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunCorrupt(f"{path}: task: {reason}") from None
