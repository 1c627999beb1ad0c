"""The runs of several targets as a group, its one submission, and the look-up of groups, runs and ensembles by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.errors import InputError, RunCorrupt, RunExists, RunNameInvalid, RunNotFound
from foldtune.results.exports.submission import read_sample, write_submission
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.names import check_name, is_run, no_ensemble, no_run, possible_roots
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import is_file, names_in, read_json, remove_file, write_json
from foldtune.results.storage.paths import StorePath, as_path
from foldtune.search.checks.sample import target_columns
from foldtune.search.config.targets import TargetsFile
from foldtune.search.runs.run import GROUP_FILE, Run, open_run, with_data
from foldtune.search.runs.target_checks import CheckedTargets


@dataclass(frozen=True)
class RunGroup:
    """A stored group; its runs lie beside its folder.

    Attributes:
        root: the group's own folder, STORAGE/NAME.
        runs: name of each target's run, by target.
        id_column: name of the id column of the submission.
        sample: sample submission, with its columns and ids.
        joint: whether one submission has a column a target; else each target has its own.
        earlier: paths or URLs of the runs and groups that its targets take configurations over from at their starts.
    """

    root: StorePath
    runs: Mapping[str, str]
    id_column: str
    sample: Path | None
    joint: bool = True
    earlier: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the group."""
        return self.root.name

    @property
    def submission_path(self) -> StorePath:
        """Where the submission lies by default."""
        return self.root / "submission.csv"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the group for a search of its targets, one after the other. Raises RunBusy."""
        return RunStore(self.root).lock()

    def is_locked(self) -> bool:
        """Whether some process searches the targets."""
        return RunStore(self.root).is_locked()

    def has_run(self, target: str) -> bool:
        """Whether the target's search was started."""
        return is_run(self.root.parent / self.runs[target])

    def discard_start(self, folders: Sequence[StorePath]) -> None:
        """Remove a new group of which no run was started, and those of `folders` that are empty then.

        Only for the holder of the lock.
        """
        if not any(map(self.has_run, self.runs)):
            remove_file(self.root / GROUP_FILE)
            RunStore(self.root).discard_start(folders)

    def open(self) -> dict[str, Run]:
        """The run of each target whose search was started.

        Raises:
            RunNotFound: none was.
        """
        started = [target for target in self.runs if self.has_run(target)]
        if not started:
            raise RunNotFound(f"no search of group {self.name!r} was started yet: give --resume to start it")
        return {target: open_run(self.runs[target], self.root.parent) for target in started}

    def open_all(self) -> dict[str, Run]:
        """The run of every target.

        Raises:
            InputError: the search of some was not started yet.
        """
        waiting = [target for target in self.runs if not self.has_run(target)]
        if waiting:
            raise InputError(
                f"group {self.name!r} has no search of {', '.join(waiting)} yet: foldtune search CONFIG --resume"
            )
        return self.open()

    def submit(self, frames: Mapping[str, pd.DataFrame], file: Path | None) -> pd.DataFrame:
        """Write one submission with a column a target.

        Args:
            frames: by target, a column of ids and one of predictions, for the same ids.
            file: `submission_path` by default.

        Raises:
            SubmissionError: the ids are not those of the sample.
        """
        columns = [frame.set_axis(frame.iloc[:, 0]).iloc[:, 1].rename(target) for target, frame in frames.items()]
        joined = pd.concat(columns, axis=1).rename_axis(self.id_column).reset_index()
        if self.sample is not None:
            names = target_columns(list(read_sample(self.sample).columns), self.id_column, list(frames))
            joined = joined.rename(columns=names)
        return write_submission(joined, file or self.submission_path, self.sample, id_column=joined.columns[0])


def find_group(name: str, storage: StorePath | str) -> RunGroup | None:
    """A stored group by its name under `storage`, or by the path or URL of its folder; None where there is none.

    Raises:
        RunCorrupt: its file cannot be read.
    """
    for root in possible_roots(name, storage):
        if is_file(root / GROUP_FILE):
            return _read(root.resolve())
    return None


def open_targets(
    name: str, storage: StorePath | str, data: Path | None = None, *, whole: bool = False
) -> dict[str | None, Run]:
    """The runs of a group by target, of those whose search was started; one run alone stands under None.

    Args:
        data: where their `data.root` lies now, None where it did not move.
        whole: whether the search of every target must have been started.

    Raises:
        RunNotFound: no such run or group, or no search of it was started.
        InputError: the search of some target was not started yet, or data do not lie under their `data.root`.
    """
    group = find_group(name, storage)
    if group is None:
        return {None: open_run(name, storage, data)}
    runs = group.open_all() if whole else group.open()
    return {target: run if data is None else with_data(run, data) for target, run in runs.items()}


def _read(root: StorePath) -> RunGroup:
    path = root / GROUP_FILE
    values = read_json(path) or {}
    try:
        sample, runs = values["sample_submission"], dict(values["runs"])
        for name in runs.values():
            check_name(name, "run")
        joint = values.get("joint", True) is not False
        earlier = tuple(map(str, values.get("from") or ()))
        return RunGroup(root, runs, str(values["id"]), Path(sample) if sample else None, joint, earlier)
    except RunNameInvalid as error:
        raise RunCorrupt(f"{path}: runs: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise RunCorrupt(f"{path} lacks {error}") from None


@contextmanager
def starting_group(checked: CheckedTargets, earlier: Sequence[str] = ()) -> Iterator[RunGroup]:
    """A new group, locked; a start that is refused before its first run leaves no folder; `earlier` as of RunGroup.

    Raises:
        RunBusy: another process is starting it.
        RunExists: the name of the group, or of one of its runs, is taken.
    """
    first = next(iter(checked.targets.values())).config
    storage = as_path(first.storage)
    absent = [folder for folder in (storage / checked.name, storage) if names_in(folder) is None]
    group = new_group(checked, earlier)
    with group.lock():
        try:
            yield group
        except BaseException:
            group.discard_start(absent)
            raise


def new_group(checked: CheckedTargets, earlier: Sequence[str] = ()) -> RunGroup:
    """Write the file of a new group.

    Raises:
        RunExists: the name of the group, or of one of its runs, is taken.
    """
    first = next(iter(checked.targets.values())).config
    storage = as_path(first.storage)
    if find_group(checked.name, storage) is not None:
        raise RunExists(f"group {checked.name!r} exists in {storage}: give --resume to continue it, or --name")
    runs = {target: each.config.name for target, each in checked.targets.items()}
    if taken := [name for name in runs.values() if is_run(storage / name)]:
        raise RunExists(f"runs {', '.join(taken)} exist in {storage}: give --name for another group")
    root = RunStore.create(storage, checked.name).root.resolve()
    return _write(RunGroup(root, runs, first.data.judged_column, checked.sample, checked.joint, tuple(earlier)))


def reopen_group(file: TargetsFile) -> RunGroup:
    """Open the group that a configuration file started; targets that were added to the file join it.

    Raises:
        RunNotFound: the group was never started.
        InputError: the file lacks targets of the group, or a key of the wrong form.
    """
    check_name(file.name, "run")
    configs = {target: file.config(target) for target in file.raws}
    first, sample = next(iter(configs.values()))
    group = find_group(file.name, first.storage)
    if group is None:
        raise RunNotFound(f"no group {file.name!r} in {first.storage}: leave out --resume to start it")
    if gone := sorted(group.runs.keys() - configs.keys()):
        raise InputError(
            f"targets: {', '.join(gone)} of group {file.name!r} are not in the file; use --name for another"
        )
    runs = {target: config.name for target, (config, _) in configs.items()}
    if runs == dict(group.runs):
        return group
    return _write(RunGroup(group.root, runs, first.data.judged_column, sample, file.joint, group.earlier))


def _write(group: RunGroup) -> RunGroup:
    sample = str(group.sample) if group.sample else None
    values: dict[str, Any] = {"runs": dict(group.runs), "id": group.id_column, "sample_submission": sample}
    values |= {} if group.joint else {"joint": False}
    values |= {"from": list(group.earlier)} if group.earlier else {}
    write_json(group.root / GROUP_FILE, values)
    return group


def find_ensemble(name: str, storage: Path | str) -> EnsembleDir:
    """Return the ensemble of a run, or that of a folder: names under `storage` (`skin`, `skin/ensemble`), or paths.

    Raises:
        RunNotFound: no such run, or a run without an ensemble.
        InputError: a group of runs.
    """
    for root in possible_roots(name, storage):
        if EnsembleDir(root).exists():
            return EnsembleDir(root)
    ensemble = open_run(name, storage).store.ensemble
    if not ensemble.exists():
        raise RunNotFound(no_ensemble(name))
    return ensemble


def find_ensembles(name: str, storage: Path | str) -> dict[str | None, EnsembleDir]:
    """Return the ensemble of a folder or a run under None, or those of a group by target.

    Only the folders are read: a copy of an ensemble is found without the run that it was made from.

    Raises:
        RunNotFound: no such run, group or ensemble, or a run without an ensemble.
    """
    roots = possible_roots(name, storage)
    for root in roots:
        for directory in (EnsembleDir(root / "ensemble"), EnsembleDir(root)):
            if directory.exists():
                return {None: directory}
    group = find_group(name, storage)
    if group is not None:
        return {target: EnsembleDir.open(run.store.ensemble.root) for target, run in group.open_all().items()}
    if any(is_run(root) for root in roots):
        raise RunNotFound(no_ensemble(name))
    raise RunNotFound(no_run("run or ensemble", name, storage))


def read_ensemble(name: str, storage: Path | str) -> dict[str, Any]:
    """Return the content of ensemble.json of `find_ensemble`.

    Raises:
        RunNotFound: as `find_ensemble`.
        RunCorrupt: it cannot be read, or lacks its estimate.
    """
    directory = find_ensemble(name, storage)
    description = directory.read()
    if description is None or not isinstance(description.get("estimate"), dict):
        raise RunCorrupt(f"{directory.json_path} lacks the estimate; `foldtune ensemble` writes it again")
    return description
