"""Figures of a machine, kept in the folder of its caches: what is measured once is not measured again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from foldtune.files import whole_file

FOLDER = "measured"
"""Folder of the figures, in that of the decoded images."""

Figures = Mapping[str, float]


def measured_once(folder: Path | None, key: Sequence[object], measure: Callable[[], Figures]) -> Figures:
    """Return stored figures by name, measured and stored where there are none.

    Args:
        folder: folder of this machine's caches, None to store nothing.
        key: all that they depend on, the machine and its software included, as JSON values.
    """
    text = json.dumps(key)
    path = None if folder is None else folder / FOLDER / f"{sha256(text.encode()).hexdigest()[:32]}.json"
    if path is not None:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            stored = json.loads(path.read_bytes())
            return {str(name): float(value) for name, value in stored["figures"].items()}
    figures = measure()
    if path is not None:
        with suppress(OSError), whole_file(path) as file:  # a cache that cannot be written costs time alone
            file.write(json.dumps({"key": list(key), "figures": dict(figures)}).encode())
    return figures
