"""Names joined to the folder that they belong to: writing never leads outside, reading only where the user may mean it.

Names come from tables, from stored runs and from models that somebody else made: `/etc/passwd`, `../other/a.png`, or a
link that leads out of its folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from foldtune.errors import InputError, RunCorrupt, StorageDenied


def leads_out(name: str) -> bool:
    """Whether a name is absolute or climbs by `..`, so that it may lie outside of any folder it is joined to.

    >>> leads_out("a/b.png"), leads_out("/a.png"), leads_out("a/../b.png"), leads_out("a..b.png")
    (False, True, True, False)
    """
    return name.startswith("/") or (".." in name and ".." in PurePosixPath(name).parts)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, links followed in both."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def safe_name(name: str) -> PurePosixPath:
    """Return a name without the parts by which it would lead out of a folder.

    >>> str(safe_name("/data/a.png")), str(safe_name("../b/./c.png"))
    ('data/a.png', 'b/c.png')
    """
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..", ".")]
    return PurePosixPath(*parts)


def output_names(names: Sequence[str], suffix: str) -> dict[str, PurePosixPath]:
    """Return a file name inside of any folder for each name, with another suffix; no two names share one.

    >>> {name: str(path) for name, path in output_names(["a.jpg", "a.png", "../a.jpg"], ".png").items()}
    {'a.jpg': 'a.png', 'a.png': 'a.png.png', '../a.jpg': 'a.jpg.png'}
    """
    taken: set[PurePosixPath] = set()
    found: dict[str, PurePosixPath] = {}
    for name in dict.fromkeys(names):
        plain = safe_name(name)
        plain = plain if plain.name else PurePosixPath("image")
        path, number = plain.with_suffix(suffix), 1
        if path in taken:
            path = plain.with_name(plain.name + suffix)
        while path in taken:
            number += 1
            path = plain.with_name(f"{plain.name}-{number}{suffix}")
        taken.add(path)
        found[name] = path
    return found


def join_to_write(folder: Path, *names: str | PurePosixPath) -> Path:
    """Return the path of names in a folder, to be written.

    Raises:
        InputError: it lies outside, by its parts or by a link on the way.
    """
    path = folder.joinpath(*names)
    if any(leads_out(str(name)) for name in names) or not is_inside(path.parent, folder):
        raise InputError(f"{path}: leads out of {folder}, and nothing is written outside of it")
    return path


def join_stored(folder: Path, *names: str) -> Path:
    """Return the path of names that a stored run or model gives, in its folder.

    Raises:
        RunCorrupt: it lies outside, by its parts or by a link on the way or at its end.
    """
    path = folder.joinpath(*names)
    if any(leads_out(name) for name in names) or not is_inside(path, folder):
        raise RunCorrupt(
            f"{path}: leads out of {folder}, and nothing of a stored run or model is read or written there"
        )
    return path


STORED_MARKS = (("folds.csv", "task.json"), ("ensemble.json",), ("group.json",))
"""Files by which a folder is known as a run, as an ensemble or a model, and as a group of runs."""


def check_output(path: Path, *, is_folder: bool, name: str) -> None:
    """Refuse a path at which no file, or no folder, can be written. Folders on the way to it need not exist.

    Args:
        name: flag or argument for the message.

    Raises:
        InputError: a folder in the place of a file, or the reverse, or a path that no file has.
        StorageDenied: no permission.
    """
    try:
        if path.is_dir() if not is_folder else path.exists() and not path.is_dir():
            kinds = ("a file", "a folder") if is_folder else ("a folder", "a file")
            raise InputError(f"{name}: {path} is {kinds[0]}; name {kinds[1]}")
        holder = path if is_folder and path.is_dir() else _holder(path)
        if not holder.is_dir():
            raise InputError(f"{name}: {holder} is a file, so nothing can lie in it")
    except (OSError, ValueError) as error:  # a name that is too long, or holds NUL
        raise InputError(f"{name}: {path}: {getattr(error, 'strerror', None) or error}") from None
    if not os.access(holder, os.W_OK | os.X_OK):
        raise StorageDenied(f"cannot write {path}: Permission denied")


def check_apart(path: Path, *, is_folder: bool, name: str) -> None:
    """Refuse a file that a run, an ensemble or a model consists of, and the folder of one, for any other output.

    Args:
        name: flag or argument for the message.

    Raises:
        InputError: it is part of one.
    """
    if not path.exists():
        return
    resolved = path.resolve()
    for folder in [resolved] if is_folder else resolved.parents:
        if any(all((folder / file).is_file() for file in mark) for mark in STORED_MARKS):
            raise InputError(f"{name}: {path} belongs to the stored {folder}, and would be replaced; name another")


def check_not_read(output: Path, read: Iterable[Path | None]) -> None:
    """Refuse a file to write that is one of those that are read; None is no file. Raises InputError."""
    if output.is_file() and any(path is not None and path.is_file() and path.samefile(output) for path in read):
        raise InputError(f"{output}: is read, and would be replaced; name another file")


def _holder(path: Path) -> Path:
    """Return the nearest folder above a path that exists, or the file in its place."""
    return next(each for each in path.absolute().parents if os.path.lexists(each))
