"""The names of runs and trials, and the runs of a storage folder."""

from __future__ import annotations

import re
from pathlib import Path

from results.errors import RunNameInvalid

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


def is_run(root: Path) -> bool:
    """Whether the folder holds a run."""
    return (root / "config.yaml").is_file()


def run_names(storage: Path | str) -> list[str]:
    """Return the names of the runs in a storage folder, sorted; [] where there is no such folder."""
    folder = Path(storage)
    return sorted(path.name for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
