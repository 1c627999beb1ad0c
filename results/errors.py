"""The errors of the run on disk. Every message says what was given, what is valid and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ResultsError(Exception):
    """Base of everything this package raises on purpose."""


class RunNameInvalid(ResultsError):
    """The name cannot be a run's or trial's folder."""


class RunExists(ResultsError):
    """A new run was asked for under a name that is taken."""


class RunNotFound(ResultsError):
    """There is no run, or no ensemble, where one was named."""


class RunBusy(ResultsError):
    """Another process is writing to the run."""


class RunCorrupt(ResultsError):
    """A stored file is missing, unreadable or not what was written."""


class TrialNotFound(ResultsError):
    """The run has no such trial."""


class ColumnNotFound(ResultsError):
    """The leaderboard has no such column."""


class SubmissionError(ResultsError):
    """The predictions do not have the form that a submission must have."""


class StorageInvalid(ResultsError):
    """The text names no folder and no URL that runs can lie under."""


class ModelForeign(ResultsError):
    """A folder for a model holds something else."""


class ModelNotFound(ResultsError):
    """There is no earlier model to go back to."""


class StorageError(ResultsError):
    """The file system or object store refused; the target file is as it was before."""


class StorageFull(StorageError):
    """No space, no quota, or a file-size limit."""


class StorageDenied(StorageError):
    """No permission, or a read-only file system."""


def no_ensemble(run: str) -> str:
    """Return what to say of a run, by the name that the user gave it, of which no ensemble was made."""
    return f"run {run!r} has no ensemble yet: foldtune ensemble {run} makes one"


def unknown(kind: str, given: str, valid: Iterable[str], shown: int = 20) -> str:
    """Return "no run 'skni' …; did you mean 'skin'? there are: …", naming at most ``shown`` valid ones."""
    names = sorted(valid)
    near = get_close_matches(given, names, n=3)
    meant = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    if not names:
        return f"no {kind} {given!r}: there are none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"no {kind} {given!r}{meant or ';'} there are: {', '.join(names[:shown])}{more}"
