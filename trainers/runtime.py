"""What a training takes from its process: threads, device, random numbers."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def follow_omp_threads(processes: int = 1) -> None:
    """Give torch OMP_NUM_THREADS threads: it looks at import alone, a reused worker's share may change.

    Several `processes` of one training share them.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first) > 0 and (threads := max(1, int(first) // processes)) != torch.get_num_threads():
        torch.set_num_threads(threads)


def choose_device(device: str | None) -> torch.device:
    """The named device, or the GPU that CUDA offers first, or the CPU."""
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def seeded(device: torch.device, *key: int) -> Iterator[None]:
    """Inside, random, NumPy and torch are seeded from `key` (integers >= 0); then all is as before."""
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
    """Hand cached blocks back to the driver; other trials may share the GPU."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
