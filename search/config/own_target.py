"""The column of labels where rows come in a form that has labels of its own, such as folders of classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.home import expanded
from foldtune.trainers.data.readers import find_reader
from foldtune.trainers.tasks import TASKS


def with_own_target(raw: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the values of a configuration with `data.target`, where the labelled rows bring labels and it lacks.

    Args:
        raw: values of a YAML file, of any form.
        folder: folder to which relative data paths refer.
    """
    data, task = raw.get("data"), TASKS.get(str(raw.get("task")))
    if not isinstance(data, Mapping) or data.get("target") is not None or task is None:
        return raw
    root, train = data.get("root") or ".", data.get("train")
    if not isinstance(root, str) or not isinstance(train, str):
        return raw
    try:
        reader = find_reader(folder / expanded(root) / expanded(train), task.readers)
    except (OSError, ValueError, InputError):  # what is wrong with the path is named where it is read
        return raw
    own = reader.own_target if reader is not None else None
    return raw if own is None else {**raw, "data": {**data, "target": own}}
