"""A training's state between two epochs, in one file that is read without running code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from foldtune.errors import CheckpointError
from foldtune.trainers.files import write_whole

FORMAT = 1


def write_checkpoint(path: Path, state: Mapping[str, Any], fingerprint: str, data: str = "") -> None:
    """Write `state` (tensors, numbers, texts and containers of them), whole or not at all.

    Args:
        data: digest of the rows and images, "" where it is not known.

    Raises:
        TrialFailed: no room for the file; an earlier one at `path` still stands.
    """
    buffer = io.BytesIO()  # in memory first: torch's own writer hides a full disk behind a RuntimeError
    torch.save({"format": FORMAT, "fingerprint": fingerprint, "data": data, "state": dict(state)}, buffer)
    write_whole(path, buffer.getbuffer())


def read_checkpoint(path: Path, fingerprint: str, data: str = "") -> dict[str, Any]:
    """The state written for the training that `fingerprint` names on the rows that `data` names, on the CPU.

    Raises:
        CheckpointError: nothing there that this training can go on from.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:  # torch itself does not compare the sums
                raise CheckpointError(f"checkpoint {path} is damaged in {damaged}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"cannot read checkpoint {path}: {first}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of format {FORMAT}")
    if content["fingerprint"] != fingerprint:
        raise CheckpointError(f"checkpoint {path} belongs to a training with other settings, data, epochs or seed")
    if data and content.get("data", "") not in ("", data):  # "": of a version that did not store it
        raise CheckpointError(f"checkpoint {path} belongs to other labels or images")
    state: dict[str, Any] = content["state"]
    return state
