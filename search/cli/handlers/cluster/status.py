"""`foldtune cluster status`."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from foldtune.cluster.nodes import nodes, pending_groups
from foldtune.cluster.sessions.session import session
from foldtune.search.cli.display.cluster_table import nodes_table, workers_line
from foldtune.search.cli.options import Format
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import output, print_csv, print_json


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
    if format is Format.json:
        print_json(rows)
    else:
        print_csv(pd.DataFrame(rows))
