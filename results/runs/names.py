"""Names of runs and trials, and the paths at which a run may lie."""

from __future__ import annotations

import re
from pathlib import Path

from foldtune.errors import RunNameInvalid, StorageInvalid
from foldtune.results.storage.files import is_file, names_in
from foldtune.results.storage.paths import StorePath, as_path
from foldtune.wording import not_found, shortened

_NAME = re.compile(r"\w[\w.+-]*")
_NAME_LENGTH = 100


def check_name(name: str, kind: str) -> None:
    """Raise RunNameInvalid unless the name is fit for a folder: no slash, no leading dot, not too long.

    >>> check_name("skin-2", "run")
    >>> check_name("skin/2", "run")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    foldtune.errors.RunNameInvalid: 'skin/2' cannot be a run name: …
    """
    if len(name) <= _NAME_LENGTH and _NAME.fullmatch(name):
        return
    fitting = re.sub(r"[^\w.+-]+", "_", name).lstrip(".+-")[:_NAME_LENGTH]
    proposal = f"; {fitting!r} would do" if fitting else ""
    raise RunNameInvalid(
        f"{shortened(repr(name))} cannot be a {kind} name: it starts with a letter, digit or _ and goes on with those,"
        f" '.', '+' or '-', at most {_NAME_LENGTH} characters in all{proposal}"
    )


def is_run(root: StorePath) -> bool:
    """Whether the folder holds a run. Raises StorageError."""
    return is_file(root / "config.yaml")


def run_names(storage: StorePath | str) -> list[str]:
    """Return the names of the runs in a storage, sorted; [] where there is no such folder. Raises StorageError."""
    folder = as_path(storage)
    return [name for name in names_in(folder) or [] if is_run(folder / name)]


def check_storage(folder: StorePath) -> None:
    """Raise StorageInvalid where a file stands in the place of the folder of runs; it need not exist."""
    if isinstance(folder, Path) and folder.exists() and not folder.is_dir():
        raise StorageInvalid(f"{folder}: is a file; --storage names a folder, or a URL, where runs are kept")


def no_run(kind: str, name: str, storage: StorePath | str) -> str:
    """Return the message for a run that does not exist: the nearest of those that do, or that there is no storage."""
    folder = as_path(storage)
    check_storage(folder)
    if isinstance(folder, Path) and not folder.is_dir():
        return f"no {kind} {shortened(repr(name))}: there is no folder {storage}; --storage names where runs are kept"
    return f"{not_found(kind, name, run_names(storage))} (in {storage})"


def possible_roots(name: StorePath | str, storage: StorePath | str) -> list[StorePath]:
    """Return the paths at which a run, or a group of runs, of that name may lie: in ``storage``, or the name itself.

    >>> [root.as_posix() for root in possible_roots("skin", "runs")]
    ['runs/skin', 'skin']
    """
    own = as_path(name)
    if isinstance(own, Path):
        return [as_path(storage) / own, own]
    return [own]


def no_ensemble(run: str) -> str:
    """Return the message for a run without an ensemble, named as the user did."""
    return f"run {run!r} has no ensemble yet: foldtune ensemble {run} makes one"
