"""Weights on the disk: safetensors, which can hold no code."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from foldtune.errors import WorkError
from foldtune.trainers.files import write_whole

SUM = "sum"
"""Key of the metadata that holds the sum of names, types, shapes and values."""


def save_weights(weights: Mapping[str, Tensor], path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a state dict and texts by name, whole or not at all. Raises TrialFailed: no room for the file."""
    # Clones give shared tensors (tied layers) storage of their own, which safetensors requires.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    write_whole(path, safetensors.torch.save(tensors, {**(notes or {}), SUM: sum_of(tensors)}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict, on the CPU. Raises WorkError: the file is absent, not a whole safetensors file, or damaged."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            stored = (file.metadata() or {}).get(SUM)
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WorkError(f"cannot read weights {path}: {error}") from error
    if stored is not None and stored != sum_of(tensors):  # those of before have none
        raise WorkError(f"cannot read weights {path}: they are damaged, their content does not match its sum")
    return tensors


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by name, from the head of the file alone.

    Raises:
        WorkError: the file is absent or not a whole safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise WorkError(f"cannot read weights {path}: {error}") from error


def read_notes(path: Path) -> dict[str, str]:
    """Return the texts of a safetensors file's head. Raises OSError, safetensors.SafetensorError."""
    with safetensors.safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def load_into(model: nn.Module, path: Path) -> None:
    """Load weights into the network that they were saved from.

    Raises:
        WorkError: the file is absent, damaged, or another network's.
    """
    try:
        model.load_state_dict(load_weights(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise WorkError(f"weights {path} belong to another network: {reason}") from error


def sum_of(tensors: Mapping[str, Tensor]) -> str:
    """Return the digest of tensors on the CPU: 32 hexadecimal digits, whatever file holds them."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
