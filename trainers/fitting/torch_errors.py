"""Errors of torch that mean that a training cannot work, as TrialFailed with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from foldtune.errors import TrialFailed
from foldtune.trainers.parallel.microbatch import is_out_of_memory

if TYPE_CHECKING:
    from foldtune.trainers.settings import TrialSettings


@contextmanager
def translate_torch_errors(settings: TrialSettings) -> Iterator[None]:
    """Turn torch's out of memory, and a batch too small for batch normalisation, into TrialFailed."""
    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as error:
        text = " ".join(str(error).split())[:200]
        if is_out_of_memory(error):
            raise TrialFailed(f"out of memory ({text}); use a smaller model, image or batch") from error
        if "Expected more than 1 value per channel" in text:
            size = settings.batch_size
            reason = f"batch normalisation cannot train on one image; batch_size {size} is too small"
            raise TrialFailed(reason) from error
        raise
