"""A search as a job of a Ray cluster: one YAML that means the same there, and the words that start it."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.home import expanded
from foldtune.results.runs.driver_file import Driver
from foldtune.search.config.metric_file import metric_file, resolved_file
from foldtune.search.config.pretrained_files import with_files
from foldtune.search.config.secrets import check_url, has_password

JOB_ID, JOB_ADDRESS, RESUME_COMMAND = "FOLDTUNE_JOB_ID", "FOLDTUNE_JOB_ADDRESS", "FOLDTUNE_AGAIN"
"""Variables of a command on a cluster: its job, the job server, and the user's command that resumes the run."""
INHERITED = ("FOLDTUNE_CACHE",)
"""Variables of this process that a command on a cluster gets, too."""
CONFIG = "config.yaml"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class JobPackage:
    """A configuration that means the same on every node of a cluster.

    Attributes:
        run: name of the run, or of the group of targets.
        storage: absolute folder or URL of the runs.
        config: plain values, whose paths are absolute, or those of `files`.
        files: contents of files that lie beside the configuration there, by name.
    """

    run: str
    storage: str
    config: Mapping[str, Any]
    files: Mapping[str, str | bytes] = field(default_factory=dict)


def pack_job(raw: Mapping[str, Any], folder: Path) -> JobPackage:
    """Return a configuration, to which flags and overrides are applied already, with absolute paths.

    Args:
        raw: plain values of a valid form; they are not changed.
        folder: folder of its file, to which data paths are relative; the storage is so to the working directory.

    Raises:
        InputError: it holds a password, which all users of the cluster could read.
    """
    config = deepcopy(dict(raw))
    search = config.get("search") or {}
    if isinstance(url := search.get("study_storage"), str):
        check_url(url, "search.study_storage")
        if has_password(url):
            raise InputError(
                "search.study_storage: a job's files are open to all users of the cluster: write ${PGPASSWORD} in the "
                "place of the password, and set PGPASSWORD in the environment of the cluster's head"
            )
        if url.startswith(_SQLITE):
            config["search"] = {**search, "study_storage": _SQLITE + str(Path(url.removeprefix(_SQLITE)).absolute())}
    for number, data in enumerate(_sections(config, "data")):
        if number == 0 or "root" in data or not isinstance(config.get("data"), dict):
            data["root"] = str((folder / expanded(str(data.get("root") or "."))).resolve())
        cache = data.get("cache")
        if isinstance(cache, str) and cache not in ("auto", "off"):
            data["cache"] = str(expanded(cache).absolute())
    files: dict[str, str | bytes] = {}
    for section in _sections(config, "search"):
        _attach(section, folder, files)
    for section in _sections(config, "space"):
        section |= with_files(section, lambda path: _attached(resolved_file(path, folder), files))
    config["storage"] = absolute_storage(str(config.get("storage") or "runs"))
    return JobPackage(str(config.get("name")), config["storage"], config, files)


def _attached(file: Path, files: dict[str, str | bytes]) -> str:
    """Return the path there of a file of weights, which is put beside the configuration where it lies here."""
    if not file.is_file():
        return str(file)
    content = file.read_bytes()
    known = next((name for name, each in files.items() if each == content), None)
    place = known or (file.name if files.get(file.name) is None else f"{len(files)}_{file.name}")
    files[place] = content
    return place


def _attach(search: dict[str, Any], folder: Path, files: dict[str, str | bytes]) -> None:
    """Put the files that a section `search` names beside the configuration; one that is not here lies there already."""
    metric = metric_file(search["metric"]) if isinstance(search.get("metric"), str) else None
    costs = search.get("costs")
    named = {"metric": metric.path if metric else None, "costs": Path(costs) if isinstance(costs, str) else None}
    for key, path in named.items():
        if path is None:
            continue
        found = resolved_file(path, folder)
        place = str(found)
        if found.is_file():
            place = found.name if files.get(found.name) is None else f"{len(files)}_{found.name}"
            files[place] = found.read_text(encoding="utf-8-sig", errors="replace")
        search[key] = f"{place}:{metric.function}" if key == "metric" and metric else place


def _sections(config: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the section of that name, then that of each target which has one."""
    targets = config.get("targets")
    for own in (config, *(targets.values() if isinstance(targets, Mapping) else ())):
        if isinstance(own, Mapping) and isinstance(own.get(name), dict):
            yield own[name]


def absolute_storage(storage: str) -> str:
    """Return a storage in a form that does not depend on the working directory."""
    return storage if "://" in storage else str(expanded(storage).absolute())


def new_job_id(run: str) -> str:
    """Return a new id for the job that searches a run: foldtune-RUN-XXXXXX, in hexadecimal digits."""
    return f"foldtune-{re.sub(r'[^A-Za-z0-9_.-]', '_', run)}-{secrets.token_hex(3)}"


def job_environment(
    resume_command: str | None, job_id: str | None = None, address: str | None = None
) -> dict[str, str]:
    """Return the environment variables of a command on a cluster.

    Args:
        resume_command: the user's command that resumes the run, None where it searches none.
        job_id: submission id, None where it is no job.
        address: address of the job server, None where it is no job.
    """
    own = {JOB_ID: job_id, JOB_ADDRESS: address, RESUME_COMMAND: resume_command}
    passed = {name: os.environ.get(name) for name in INHERITED}
    return {name: value for name, value in {**own, **passed}.items() if value is not None}


def this_driver() -> Driver:
    """Return this process as the driver of a search, with the job whose command it is."""
    return Driver.current(os.environ.get(JOB_ID), os.environ.get(JOB_ADDRESS))


def leave_job_folder(config: Path) -> Path:
    """Leave the job's folder where this process is the command of a job; return the absolute path of a file in it.

    Ray unpacks a job's folder anew where a second node of the same machine needs it, which deletes the working
    directory of this process. Nothing in a `JobPackage` is relative to it. Elsewhere the path is returned as it is.
    """
    if JOB_ID not in os.environ:
        return config
    absolute = config.absolute()
    os.chdir(tempfile.gettempdir())
    return absolute


def search_arguments(
    config: str,
    *,
    resume: bool,
    further_trials: int | None,
    retry_failed: bool = False,
    from_runs: Sequence[str] = (),
) -> list[str]:
    """Return the arguments of `foldtune` for a search on a cluster, whose Ray it joins.

    >>> search_arguments("config.yaml", resume=True, further_trials=9)
    ['search', 'config.yaml', '--address', 'auto', '--resume', '--trials', '9']
    """
    given = ["--resume"] if resume else []
    given += ["--trials", str(further_trials)] if resume and further_trials else []
    given += ["--retry-failed"] if retry_failed else []
    for run in from_runs:
        given += ["--from", str(Path(run).absolute()) if Path(run).exists() else run]
    return ["search", config, "--address", "auto", *given]
