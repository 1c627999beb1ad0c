"""Settings of a process for training: threads, device, random numbers."""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from foldtune.errors import Problem, SettingsError
from foldtune.wording import unknown


def follow_omp_threads(processes: int = 1) -> None:
    """Set torch's threads to OMP_NUM_THREADS, which torch reads at import alone while a reused worker's may change.

    Args:
        processes: processes of one training that share the threads, >= 1.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first) > 0 and (threads := max(1, int(first) // processes)) != torch.get_num_threads():
        torch.set_num_threads(threads)


@contextmanager
def omp_threads(number: int) -> Iterator[None]:
    """Train with so many threads in the block, as a worker of Ray does."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(number)
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
"""Names that Linux gives to a CPU's instructions for bfloat16."""


@lru_cache(maxsize=1)
def _cpu() -> tuple[str, frozenset[str]]:
    """Return the CPU's name and Linux's names of what it can do; none elsewhere."""
    fields: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, frozenset((fields.get("flags") or fields.get("Features") or "").split())


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or of the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu()[0]


def cpu_has_bf16() -> bool:
    """Whether the CPU computes in bfloat16; others imitate it, slowly."""
    return bool(BF16_FLAGS & _cpu()[1])


def choose_device(device: str | None) -> torch.device:
    """Return the named device; None is the first GPU, or the CPU where there is none.

    Raises:
        SettingsError: a GPU that torch does not find here, or a name that is no device's.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        return torch.device("cuda" if gpus else "cpu")
    valid = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    if device.startswith("cuda") and not gpus:
        raise SettingsError([Problem("device", f"torch finds no GPU here, so {device} cannot be used; valid: cpu")])
    try:
        found = torch.device(device)
    except RuntimeError:
        raise SettingsError([Problem("device", unknown("device", device, valid))]) from None
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise SettingsError([Problem("device", unknown("device", device, valid))])
    return found


@contextmanager
def seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Seed random, NumPy and torch from `key` (integers >= 0) in a block; restore their states after it."""
    for_python, for_numpy, for_torch = (int(x) for x in np.random.SeedSequence(key).generate_state(3))
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        random.seed(for_python)
        np.random.seed(for_numpy)
        torch.manual_seed(for_torch)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def free_gpu_cache(device: torch.device) -> None:
    """Return cached blocks to the driver; other trials may share the GPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
