"""`foldtune cluster check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.cluster.sessions.session import session
from foldtune.errors import WorkError
from foldtune.search.cli.display.cluster_table import check_table
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import note, output
from foldtune.search.config.loading import read_raw
from foldtune.search.config.packaging import CONFIG, pack_job
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_target
from foldtune.search.runs.validation import Checked, check_raw
from foldtune.search.tuning.preflight import check_nodes


@dataclass(frozen=True)
class CheckRequest:
    """The search and the cluster to check.

    Attributes:
        config: the YAML file.
        override: texts KEY.PATH=VALUE.
        storage: folder or URL of the runs, None for the file's.
        address: address of the cluster.
        allow_no_token: whether to trust a cluster that requires no token.
    """

    config: Path
    override: tuple[str, ...]
    storage: str | None
    address: str
    allow_no_token: bool

    @property
    def flags(self) -> Mapping[str, Any]:
        """Values of the configuration that flags set, by key path."""
        return {"storage": self.storage}


def show_check(request: CheckRequest) -> None:
    """Print whether each node of a cluster can run the trials of a search.

    Raises:
        WorkError: what is missing, and what to do.
    """
    remote = remote_address(request.address)
    if remote is not None:
        package = pack_job(read_raw(request.config, request.override, request.flags), request.config.parent)
        sent = ["cluster", "check", CONFIG, "--address", "auto"]
        run_remote(
            remote, RemoteCommand(sent, package.config, beside=package.files), allow_no_token=request.allow_no_token
        )
        return
    checked = _checked(request)
    with session(request.address, allow_no_token=request.allow_no_token):
        found = check_nodes(checked.config, checked.table.paths)
    output().print(check_table(found, width=output().width))
    if problems := found.all_problems():
        raise WorkError("\n".join(f"- {problem}" for problem in problems))
    note(f"{found.trials} trials fit at a time")


def _checked(request: CheckRequest) -> Checked:
    """Return the checked configuration of a search; of several targets the first one's, all of which need the same."""
    file = read_config_file(request.config, request.override, request.flags)
    if file.targets is None:
        return check_raw(file.raw, file.folder)
    return check_target(file.targets, next(iter(file.targets.raws)))
