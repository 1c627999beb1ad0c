"""Paths of the user's home folder, which a container or a service may lack."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from foldtune.errors import InputError


def expanded(path: str | Path) -> Path:
    """Return a path whose leading `~` or `~user` is that home folder.

    Raises:
        InputError: there is no such folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: there is no home folder {Path(path).parts[0]!r} here; write the whole path"
        ) from None


def user_state_folder() -> Path:
    """Return the folder of what foldtune remembers of this user: in `$XDG_STATE_HOME`, else `~/.local/state`.

    Raises:
        RuntimeError: there is no home folder.
    """
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "foldtune"


def user_cache_folder() -> Path:
    """Return the folder of this user's caches: `$XDG_CACHE_HOME`, `~/.cache`, else one in the temporary folder."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return expanded(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
