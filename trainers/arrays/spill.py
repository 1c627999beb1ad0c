"""Large arrays that are computed in parts, kept in a temporary file instead of in memory."""

from __future__ import annotations

import errno
import math
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import TrialFailed

LARGE_BYTES = 4 << 20
"""Size of a whole array from which on it lies in a file."""


class SpilledArray:
    """One array (rows, ...) of consecutive parts (B, ...); a large one is mapped from a file.

    The file lies in the folder for temporary files (TMPDIR) and has no name: it is deleted with the array.

    Args:
        rows: rows of the whole array.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[npt.NDArray[Any]] = []
        self._file: Any = None

    def append(self, part: npt.NDArray[Any]) -> None:
        """Add the next rows.

        Raises:
            TrialFailed: no room for the file.
        """
        if not self._parts and self._rows * math.prod(part.shape[1:]) * part.itemsize > LARGE_BYTES:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - the array outlives every block
        if self._file is None:
            self._parts.append(part)
            return
        self._parts = [part[:0]]  # keeps the shape of a row and the type
        try:
            self._file.write(np.ascontiguousarray(part).data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            folder = tempfile.gettempdir()
            raise TrialFailed(f"no room for outputs in {folder}; free some, or set TMPDIR to another folder") from error

    def to_array(self) -> npt.NDArray[Any]:
        """Return the array, once all rows were added."""
        if self._file is None:
            return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._file.flush()
        like = self._parts[0]
        # Copy on write: torch takes it without a warning, and the file stays as it is.
        return np.memmap(self._file, dtype=like.dtype, mode="c", shape=(self._rows, *like.shape[1:]))
