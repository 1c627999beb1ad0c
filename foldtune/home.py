"""Paths of the user's home folder, which a container or a service may lack."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
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


def remembered(name: str) -> list[str]:
    """Return the lines of a file of what foldtune remembers; none without such a file, or without a home folder."""
    with suppress(OSError, RuntimeError):
        path = user_state_folder() / name
        return path.read_text(errors="replace").splitlines() if path.is_file() else []
    return []


def remember(name: str, line: str, most: int) -> None:
    """Add a line to such a file, whose oldest lines beyond `most` go; without a home folder it is not kept."""
    with suppress(OSError, RuntimeError):
        lines = [*(each for each in remembered(name) if each != line), line][-most:]
        write_private(user_state_folder() / name, "".join(f"{each}\n" for each in lines))


def write_private(path: Path, text: str) -> None:
    """Write a file, in a folder that may be new, that this user alone can read. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def user_cache_folder() -> Path:
    """Return the folder of this user's caches: `$XDG_CACHE_HOME`, `~/.cache`, else one in the temporary folder."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return expanded(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
