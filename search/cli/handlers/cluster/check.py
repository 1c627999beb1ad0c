"""`foldtune cluster status` and `check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from foldtune.cluster.nodes import nodes, pending_groups
from foldtune.cluster.sessions.session import session
from foldtune.errors import WorkError
from foldtune.search.cli.display.cluster_table import check_table, nodes_table, workers_line
from foldtune.search.cli.options import Format
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import note, output, print_csv, print_json
from foldtune.search.config.loading import read_raw
from foldtune.search.config.packaging import CONFIG, pack_job
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_target
from foldtune.search.runs.validation import check_raw
from foldtune.search.tuning.preflight import check_nodes


def show_status(address: str, format: Format, *, allow_no_token: bool) -> None:
    """Print the nodes of a cluster."""
    remote = remote_address(address)
    if remote is not None:
        sent = ["cluster", "status", "--address", "auto", "--format", format.value]
        run_remote(remote, RemoteCommand(sent), allow_no_token=allow_no_token)
        return
    with session(address, allow_no_token=allow_no_token):
        found, pending = nodes(), pending_groups()
    if format is Format.table:
        output().print(nodes_table(found, pending, width=output().width))
        return
    rows = [{**asdict(node), "workers": workers_line(node)} for node in found]
    print_json(rows) if format is Format.json else print_csv(pd.DataFrame(rows))


def show_check(
    config: Path, override: Sequence[str], storage: str | None, address: str, *, allow_no_token: bool
) -> None:
    """Print whether each node of a cluster can run the trials of a search; arguments as of the command.

    Raises:
        WorkError: what is missing, and what to do.
    """
    remote, flags = remote_address(address), {"storage": storage}
    if remote is not None:
        package = pack_job(read_raw(config, override, flags), config.parent)
        sent = RemoteCommand(["cluster", "check", CONFIG, "--address", "auto"], package.config, beside=package.files)
        run_remote(remote, sent, allow_no_token=allow_no_token)
        return
    file = read_config_file(config, override, flags)
    if file.targets is None:
        checked = check_raw(file.raw, file.folder)
    else:  # all targets need the same
        checked = check_target(file.targets, next(iter(file.targets.raws)))
    with session(address, allow_no_token=allow_no_token):
        found = check_nodes(checked.config, checked.table.paths)
    output().print(check_table(found, width=output().width))
    if problems := found.all_problems():
        raise WorkError("\n".join(f"- {problem}" for problem in problems))
    note(f"{found.trials} trials fit at a time")
