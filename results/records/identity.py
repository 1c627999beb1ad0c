"""What identifies a run: the format of its folder, and an id that its study shares."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from foldtune import __version__
from foldtune.errors import RunCorrupt, RunNewer
from foldtune.results.storage.files import read_json, write_json
from foldtune.results.storage.paths import StorePath

FORMAT = 2
"""Format of what this version writes. 1, which stands nowhere, is that of version 0.1 and 0.2."""
NAME = "run.json"


@dataclass(frozen=True)
class RunIdentity:
    """Content of run.json.

    Attributes:
        id: hex digits drawn when the run was started; copies of a run share it.
        adopted: digests of rows and of test images as they were found in a run that was made before digests.
    """

    id: str
    format: int = FORMAT
    version: str = __version__
    adopted: Mapping[str, str] | None = None

    @classmethod
    def new(cls, adopted: Mapping[str, str] | None = None) -> RunIdentity:
        """Return the identity of a new run."""
        return cls(secrets.token_hex(16), adopted=adopted)


def write_identity(root: StorePath, identity: RunIdentity) -> None:
    """Store the identity of a run. Raises StorageError."""
    write_json(root / NAME, asdict(identity))


def read_identity(root: StorePath) -> RunIdentity | None:
    """Return the identity of a run; None in one of before. Raises RunNewer, RunCorrupt, StorageError."""
    path = root / NAME
    stored = read_json(path)
    if stored is None:
        return None
    check_format(stored, path)
    if not isinstance(stored.get("id"), str) or not stored["id"]:
        raise RunCorrupt(f"{path} lacks the run's id")
    return RunIdentity(stored["id"], stored["format"], str(stored.get("version")), stored.get("adopted"))


def written_by() -> dict[str, Any]:
    """Return the keys by which a stored file states its format, and who wrote it."""
    return {"format": FORMAT, "version": __version__}


def check_format(stored: Mapping[str, Any], path: StorePath) -> None:
    """Check that this version can read what is stored; without a format it is of before. Raises RunNewer, RunCorrupt.

    >>> from pathlib import Path
    >>> check_format({"format": 1}, Path("run.json"))
    """
    number = stored.get("format", 1)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise RunCorrupt(f"{path}: format {number!r} is not a number from 1 on")
    if number > FORMAT:
        raise RunNewer(
            f"{path} has format {number}, of foldtune {stored.get('version', 'of a later version')}; this version, "
            f"{__version__}, reads formats up to {FORMAT}: upgrade foldtune, nothing was changed"
        )
