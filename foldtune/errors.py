"""Every error that foldtune raises on purpose, as one tree; its text is written for the person who ran the command.

Messages of a wrong name are worded by `foldtune.wording`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


class MetricFailed(InputError):
    """A metric of the user's own raised, or returned no number; the text is its own error."""


class MetricUntrusted(InputError):
    """A stored metric is code that no search of this user recorded, or that is not the one of its run."""


class SettingsError(FoldtuneError):
    """Settings of a trial are wrong."""

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


class TimeTooShort(InputError):
    """A time limit in which nothing of use can be done; what would fit is named."""


class TimeIsUp(WorkError):
    """The time was over before there was anything to go on with."""


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
    """An image file that cannot be decoded."""

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
