"""Weights on the disk: safetensors, which can hold no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from foldtune.errors import WorkError
from foldtune.trainers.files import write_whole


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict, whole or not at all.

    Raises:
        TrialFailed: no room for the file.
    """
    # Clones give shared tensors (tied layers) storage of their own, which safetensors requires.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    write_whole(path, safetensors.torch.save(tensors))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict, on the CPU.

    Raises:
        WorkError: the file is absent or not a whole safetensors file.
    """
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WorkError(f"cannot read weights {path}: {error}") from error
