"""Every error that foldtune raises on purpose, as one tree; its text is written for the person who ran the command.

::

    FoldtuneError                  exit code 1 where nothing else stands
    ├── InputError            2    the configuration, a flag or a file is wrong; `problems` holds all of them
    │   └── DataError         2    tables, images, labels
    ├── SettingsError         2    a trial's settings, each with its path
    │   └── SpaceError        2    a search space, or a configuration that is outside of it
    ├── WorkError             1    the work failed: what failed, and where its log is
    │   ├── TrialFailed       1    one training cannot work and must not be retried
    │   │   └── SurroundingsFailed 1  for what surrounds it: `--resume` tries it again
    │   ├── ProcessLost       1    a process of a training ended or stopped answering
    │   │   └── MemoryExhausted 1  one ran out of memory after its first batch
    │   ├── Disconnected      1    another process left in the middle of an exchange
    │   ├── CheckpointError   1    a checkpoint is absent, damaged or another training's
    │   └── BrokenImage       1    an image file that cannot be decoded
    ├── ResultsError          2    the run on disk
    │   ├── RunNameInvalid, RunExists, RunNotFound, TrialNotFound, ColumnNotFound
    │   ├── SubmissionError, StorageInvalid, ModelForeign, ModelNotFound
    │   ├── RunProtected           it is in use elsewhere
    │   ├── RunBusy           1    another process is writing to the run
    │   ├── RunCorrupt        1    a stored file is missing, unreadable or not what was written
    │   │   └── RunNewer      2    a later version of foldtune wrote it
    │   └── StorageError      1    the file system or object store refused
    │       ├── StorageFull   1
    │       └── StorageDenied 1
    └── ClusterError          2    no cluster where one was expected, or one that cannot hold a trial
        ├── JobNotFound       2
        └── StartFailed       1    an embedded Ray that does not come up

Messages of a wrong name are made by `unknown` (one of a fixed set) and `not_found` (one of what exists).
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One wrong value.

    Args:
        path: dotted key (``loss.focal.gamma``); empty where the whole is meant.
        message: what is wrong, what is valid.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class FoldtuneError(Exception):
    """Base of all errors that foldtune raises on purpose; commands print its text without a traceback.

    Attributes:
        exit_code: exit code of a command that ends with this error.
        problems: all that was found, where an error collects; one line each.
    """

    exit_code: int = 1
    problems: tuple[object, ...] = ()


class InputError(FoldtuneError):
    """The input is wrong.

    Args:
        problems: every problem found, or the only one.
    """

    exit_code = 2
    problems: tuple[str, ...]

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self.problems)  # pickle calls the class with `args` again

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class DataError(InputError):
    """Tables, images or labels are wrong."""


class SettingsError(FoldtuneError):
    """Settings of a trial are wrong.

    Args:
        problems: every problem found, each with its path.
    """

    exit_code = 2
    problems: tuple[Problem, ...]

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # pickle calls the class with `args` again

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class SpaceError(SettingsError, ValueError):
    """A search space, or a configuration offered to it, is wrong."""


class WorkError(FoldtuneError):
    """The work failed: what failed, and where to read more."""


class TrialFailed(WorkError):
    """One training cannot work and must not be retried; the text is a one-line reason."""


class SurroundingsFailed(TrialFailed):
    """A training failed for what surrounds it: images away, no room, no memory. It may be tried again."""


class ProcessLost(WorkError):
    """A process of the training ended or stopped answering; the training can go on from its last checkpoint."""


class MemoryExhausted(ProcessLost):
    """A process of the training ran out of memory after its first batch; it can go on at half the micro-batch."""


class Disconnected(WorkError):
    """Another process left in the middle of an exchange; its own error has the reason."""


class CheckpointError(WorkError):
    """The checkpoint is absent, damaged, or belongs to another training; starting afresh is safe."""


class BrokenImage(WorkError):
    """An image file that cannot be decoded.

    Args:
        path: the file.
        reason: what is wrong with it, in one line.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(path, reason)  # pickle calls the class with `args` again

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ResultsError(FoldtuneError):
    """The run on disk: a name that is wrong, or a file that is not there or not readable."""

    exit_code = 2


class RunNameInvalid(ResultsError):
    """The name cannot be a run's or trial's folder."""


class RunExists(ResultsError):
    """The name of a new run is taken."""


class RunNotFound(ResultsError):
    """There is no run, or no ensemble, of that name."""


class TrialNotFound(ResultsError):
    """The run has no such trial."""


class ColumnNotFound(ResultsError):
    """The leaderboard has no such column."""


class SubmissionError(ResultsError):
    """The predictions do not have the form of a submission."""


class StorageInvalid(ResultsError):
    """The text is no folder and no URL that can hold runs."""


class ModelForeign(ResultsError):
    """A folder for a model holds something else."""


class ModelNotFound(ResultsError):
    """There is no earlier model to go back to."""


class RunBusy(ResultsError):
    """Another process is writing to the run."""

    exit_code = 1


class RunCorrupt(ResultsError):
    """A stored file is missing, unreadable or not what was written."""

    exit_code = 1


class RunProtected(ResultsError):
    """A run that is in use elsewhere: others vote with its trials, or its ensemble was promoted."""


class RunNewer(RunCorrupt):
    """A run, ensemble or model that a later version wrote."""

    exit_code = 2


class StorageError(ResultsError):
    """The file system or object store refused; the target file is as it was before."""

    exit_code = 1


class StorageFull(StorageError):
    """No space, no quota, or a file-size limit."""


class StorageDenied(StorageError):
    """No permission, or a read-only file system."""


class ClusterError(FoldtuneError):
    """No cluster where one was expected, or one that cannot hold a trial."""

    exit_code = 2


class JobNotFound(ClusterError):
    """The job server has no job of that id."""


class StartFailed(ClusterError):
    """An embedded Ray does not come up: a machine without room for it, not a wrong input."""

    exit_code = 1


MAX_SHOWN = 60
"""Characters of a value in a message."""
_MAX_NAMES = 50
_MAX_COMPARED = 5000


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """Return a text for a message, cut to `most` characters.

    >>> shortened("abcdefgh", 6)
    'abcde…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def close_matches(given: str, valid: Iterable[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return at most `n` names that were probably meant: alike whatever their case, or beginning with `given`.

    >>> close_matches("Soft", ["hard", "soft"])
    ['soft']
    """
    folded: dict[str, str] = {}
    for name in valid:
        folded.setdefault(name.casefold(), name)
    wanted = given[: 4 * MAX_SHOWN].casefold()
    compared = list(islice((name for name in folded if len(name) <= 8 * MAX_SHOWN), _MAX_COMPARED))
    close = [wanted] if n == 1 and wanted in folded else get_close_matches(wanted, compared, n=n, cutoff=cutoff)
    close = close or [name for name in folded if wanted and name.startswith(wanted)][:n]
    return [folded[name] for name in close]


def did_you_mean(given: str, valid: Iterable[str], n: int = 1) -> str:
    """Return "; did you mean 'soft'?" for the names that were probably meant, "" where none is near.

    >>> did_you_mean("sofd", ["hard", "soft"])
    "; did you mean 'soft'?"
    """
    near = close_matches(given, valid, n)
    return f"; did you mean {' or '.join(shortened(repr(name), 4 * MAX_SHOWN) for name in near)}?" if near else ""


def did_you_mean_file(given: str, existing: Iterable[str]) -> str:
    """Return "; did you mean 'a.csv'?" for the name of a file, "" where none is near.

    Names are compared without their suffix, which all of a kind have, and numbers in them must be the same: another
    image of a series is not the one that was meant.

    >>> did_you_mean_file("trian.csv", ["train.csv", "test.csv"]), did_you_mean_file("a1.png", ["a2.png"])
    ("; did you mean 'train.csv'?", '')
    """
    stems: dict[str, str] = {}
    for name in existing:
        if _digits(name) == _digits(given):
            stems.setdefault(_stem(name), name)
    near = close_matches(_stem(given), stems)
    return f"; did you mean {shortened(repr(stems[near[0]]), 4 * MAX_SHOWN)}?" if near else ""


def _stem(name: str) -> str:
    return Path(name).stem


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, _stem(name)))


def unknown(kind: str, given: object, valid: Iterable[object]) -> str:
    """Return the line for a name that is not one of a fixed set: the nearest valid one, then all.

    >>> unknown("voting", "Soft", ("hard", "soft"))
    "unknown voting 'Soft'; did you mean 'soft'? valid: hard, soft"
    """
    names = [str(name) for name in (sorted(valid, key=str) if isinstance(valid, Set) else valid)]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    shown = ", ".join(map(shortened, names[:_MAX_NAMES])) + more
    return f"unknown {kind} {shortened(repr(given))}{did_you_mean(str(given), names) or ';'} valid: {shown}"


def not_found(kind: str, given: str, existing: Iterable[str], shown: int = 20) -> str:
    """Return the line for something that does not exist: the nearest of what does, then at most `shown` of it.

    >>> not_found("run", "skni", ["skin", "retina"])
    "no run 'skni'; did you mean 'skin'? there are: retina, skin"
    """
    names = sorted(existing)
    if not names:
        return f"no {kind} {shortened(repr(given))}: there are none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    listed = ", ".join(map(shortened, names[:shown]))
    return f"no {kind} {shortened(repr(given))}{did_you_mean(given, names, 3) or ';'} there are: {listed}{more}"
