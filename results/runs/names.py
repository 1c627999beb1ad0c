"""The names of runs and trials, and where runs are found."""

from __future__ import annotations

import re
from pathlib import Path

from foldtune.errors import RunNameInvalid
from foldtune.results.storage.files import is_file, names_in
from foldtune.results.storage.paths import StorePath, as_path

_NAME = re.compile(r"\w[\w.+-]*")
_NAME_LENGTH = 100


def check_name(name: str, kind: str) -> None:
    """Raise RunNameInvalid unless the name is a plain folder's: no slash, no leading dot, not too long."""
    if len(name) <= _NAME_LENGTH and _NAME.fullmatch(name):
        return
    fitting = re.sub(r"[^\w.+-]+", "_", name).lstrip(".+-")[:_NAME_LENGTH]
    proposal = f"; {fitting!r} would do" if fitting else ""
    raise RunNameInvalid(
        f"{name!r} cannot be a {kind} name: it starts with a letter, digit or _ and goes on with those, '.',"
        f" '+' or '-', at most {_NAME_LENGTH} characters in all{proposal}"
    )


def is_run(root: StorePath) -> bool:
    """Whether the folder holds a run. Raises StorageError."""
    return is_file(root / "config.yaml")


def run_names(storage: StorePath | str) -> list[str]:
    """Return the names of the runs in a storage, sorted; [] where there is no such folder. Raises StorageError."""
    folder = as_path(storage)
    return [name for name in names_in(folder) or [] if is_run(folder / name)]


def possible_roots(name: StorePath | str, storage: StorePath | str) -> list[StorePath]:
    """Return where a run, or a group of runs, of that name may lie: under ``storage``, or at the path or URL itself."""
    own = as_path(name)
    if isinstance(own, Path):
        return [as_path(storage) / own, own]
    return [own]


def no_ensemble(run: str) -> str:
    """Return the message for a run, by the name that the user gave, that has no ensemble."""
    return f"run {run!r} has no ensemble yet: foldtune ensemble {run} makes one"
