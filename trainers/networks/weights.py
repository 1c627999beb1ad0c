"""Weights on the disk: safetensors, which can hold no code."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from foldtune.errors import WorkError
from foldtune.trainers.files import write_whole

SUM = "sum"
"""Key of the metadata that holds the sum of names, types, shapes and values."""


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a state dict, whole or not at all.

    Raises:
        TrialFailed: no room for the file.
    """
    # Clones give shared tensors (tied layers) storage of their own, which safetensors requires.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    write_whole(path, safetensors.torch.save(tensors, {SUM: _sum_of(tensors)}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict, on the CPU.

    Raises:
        WorkError: the file is absent, not a whole safetensors file, or damaged.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            stored = (file.metadata() or {}).get(SUM)
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WorkError(f"cannot read weights {path}: {error}") from error
    if stored is not None and stored != _sum_of(tensors):  # those of before have none
        raise WorkError(f"cannot read weights {path}: they are damaged, their content does not match its sum")
    return tensors


def _sum_of(tensors: Mapping[str, Tensor]) -> str:
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
