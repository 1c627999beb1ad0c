"""A search as a job of a Ray cluster: one YAML that means the same there, and the words that start it."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.results.runs.driver_file import Driver
from foldtune.search.config.secrets import has_password

JOB_ID, JOB_ADDRESS, RESUME_COMMAND = "FOLDTUNE_JOB_ID", "FOLDTUNE_JOB_ADDRESS", "FOLDTUNE_AGAIN"
"""In the environment of a command that was sent: its job, and the command of its user that goes on with the run."""
PASSED_ON = ("FOLDTUNE_CACHE",)
CONFIG = "config.yaml"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class JobPackage:
    """What is sent.

    Attributes:
        run: its name, or that of a group of targets.
        storage: as every node reaches it.
        config: plain values, with nothing relative to this machine's folders left in them.
    """

    run: str
    storage: str
    config: Mapping[str, Any]


def pack_job(raw: Mapping[str, Any], folder: Path) -> JobPackage:
    """Pack a configuration whose flags and overrides are applied.

    Args:
        raw: plain values, of a form that was checked.
        folder: folder of the file, base of relative data paths; relative storage lies in the working directory.

    Raises:
        InputError: it holds a password, which everybody at the cluster would see.
    """
    config = deepcopy(dict(raw))
    search = config.get("search") or {}
    if isinstance(url := search.get("study_storage"), str):
        if has_password(url):
            raise InputError(
                "search.study_storage: a job's files are open to all users of the cluster: write ${PGPASSWORD} in the "
                "place of the password, and set PGPASSWORD in the environment of the cluster's head"
            )
        if url.startswith(_SQLITE):
            config["search"] = {**search, "study_storage": _SQLITE + str(Path(url.removeprefix(_SQLITE)).absolute())}
    for number, data in enumerate(_data_sections(config)):
        if number == 0 or "root" in data:
            data["root"] = str((folder / Path(str(data.get("root") or ".")).expanduser()).resolve())
        cache = data.get("cache")
        if isinstance(cache, str) and cache not in ("auto", "off"):
            data["cache"] = str(Path(cache).expanduser().absolute())
    config["storage"] = absolute_storage(str(config.get("storage") or "runs"))
    return JobPackage(str(config.get("name")), config["storage"], config)


def absolute_storage(storage: str) -> str:
    """Return a storage that is valid in any working directory."""
    return storage if "://" in storage else str(Path(storage).expanduser().absolute())


def new_job_id(run: str) -> str:
    """Return a new id that contains the run's name: foldtune-RUN-XXXXXX."""
    return f"foldtune-{re.sub(r'[^A-Za-z0-9_.-]', '_', run)}-{secrets.token_hex(3)}"


def environment(again: str | None, job_id: str | None = None, address: str | None = None) -> dict[str, str]:
    """Variables of the command that is sent.

    Args:
        again: the user's command that resumes the run.
        job_id: id of the job.
        address: URL of the job server.
    """
    own = {JOB_ID: job_id, JOB_ADDRESS: address, RESUME_COMMAND: again}
    passed = {name: os.environ.get(name) for name in PASSED_ON}
    return {name: value for name, value in {**own, **passed}.items() if value is not None}


def this_driver() -> Driver:
    """This process as the one that searches a run, with the job whose command it is."""
    return Driver.current(os.environ.get(JOB_ID), os.environ.get(JOB_ADDRESS))


def leave_job_folder(config: Path) -> Path:
    """The absolute path of a file, where this process is the command of a job that we sent: it leaves its folder.

    Ray unpacks a job's folder anew where a second node of the same machine needs it, and the command would stand in a
    deleted one. Nothing in a parcel is relative to it.
    """
    if JOB_ID not in os.environ:
        return config
    absolute = config.absolute()
    os.chdir(tempfile.gettempdir())
    return absolute


def arguments(config: str, *, resume: bool, further_trials: int | None) -> Sequence[str]:
    """Of `foldtune` on the cluster, whose own Ray it joins."""
    given = ["--resume"] if resume else []
    given += ["--trials", str(further_trials)] if resume and further_trials else []
    return ["search", config, "--address", "auto", *given]


def _data_sections(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The section `data`, then that of each target which has one."""
    if isinstance(config.get("data"), dict):
        yield config["data"]
    targets = config.get("targets")
    for own in targets.values() if isinstance(targets, Mapping) else ():
        if isinstance(own, Mapping) and isinstance(own.get("data"), dict):
            yield own["data"]
