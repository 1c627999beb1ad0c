"""`foldtune cluster status`, `check` and `manifest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.commands.cluster import manifest
from foldtune.search.cli.options import AllowNoToken, ConfigFile, Format, Overrides
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import note, output, print_json

if TYPE_CHECKING:
    from foldtune.cluster.check import ClusterCheck
    from foldtune.search.runs.validation import Checked

ClusterAddress = Annotated[
    str,
    typer.Option("--address", metavar="A", help="The cluster: auto, HOST:PORT, http://HOST:8265 or ray://HOST:10001."),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    help_text = "Look at a Ray cluster, check it before a search, or write the manifest of one."
    group = typer.Typer(no_args_is_help=True, help=help_text)
    app.add_typer(group, name="cluster")
    manifest.add_to(group)

    @group.command()
    def status(
        address: ClusterAddress = "auto",
        format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.table,
        allow_no_token: AllowNoToken = False,
    ) -> None:
        """Show the nodes of a cluster, what of them is free, and what runs where."""
        remote = remote_address(address)
        if remote is not None:
            sent = ["cluster", "status", "--address", "auto", "--format", format.value]
            run_remote(remote, RemoteCommand(sent), allow_no_token=allow_no_token)
            return
        from dataclasses import asdict

        from foldtune.cluster.nodes import nodes, waiting
        from foldtune.cluster.sessions import session
        from foldtune.search.cli.display.cluster_table import nodes_table, runs_line

        with session(address, allow_no_token=allow_no_token):
            found, queued = nodes(), waiting()
        if format is Format.table:
            output().print(nodes_table(found, queued, width=output().width))
        else:
            rows = [{**asdict(node), "workers": runs_line(node)} for node in found]
            _print_rows(rows, format)

    @group.command()
    def check(
        config: ConfigFile,
        override: Overrides = None,
        storage: Annotated[
            str | None, typer.Option(metavar="FOLDER|URL", help="Where runs are kept; the file's by default.")
        ] = None,
        address: ClusterAddress = "auto",
        allow_no_token: AllowNoToken = False,
    ) -> None:
        """Find out node by node whether a cluster can run the trials of a search, before it is started.

        Resources, the same versions on every node, the storage written and read by every node, the images readable
        there. Ends with 1 and what to do where something is missing.
        """
        from foldtune.errors import WorkError

        remote = remote_address(address)
        if remote is not None:
            from foldtune.search.config.loading import read_raw
            from foldtune.search.config.packaging import CONFIG, pack_job

            packed = pack_job(read_raw(config, override or [], {"storage": storage}), config.parent)
            sent = ["cluster", "check", CONFIG, "--address", "auto"]
            run_remote(remote, RemoteCommand(sent, packed.config), allow_no_token=allow_no_token)
            return
        from foldtune.cluster.sessions import session
        from foldtune.search.cli.display.cluster_table import check_table

        checked = _checked(config, override or [], storage)
        with session(address, allow_no_token=allow_no_token):
            found = _check(checked)
        output().print(check_table(found, width=output().width))
        problems = found.all_problems()
        if problems:
            raise WorkError("\n".join(f"- {problem}" for problem in problems))
        note(f"{found.trials} trials fit at a time")


def _checked(config: Any, override: list[str], storage: str | None) -> Checked:
    """The configuration of a search; of several targets that of the first, which asks for the same of the cluster."""
    from foldtune.search.config.targets import read_targets
    from foldtune.search.runs.target_checks import check_target
    from foldtune.search.runs.validation import check_file

    flags = {"storage": storage}
    several = read_targets(config, override, flags)
    if several is None:
        return check_file(config, override, flags)
    return check_target(several, next(iter(several.raws)))


def _check(checked: Checked) -> ClusterCheck:
    from foldtune.search.tuning.preflight import check_nodes

    return check_nodes(checked.config, checked.table.paths)


def _print_rows(rows: list[dict[str, Any]], format: Format) -> None:
    import sys

    if format is Format.json:
        print_json(rows)
        return
    import pandas as pd

    pd.DataFrame(rows).to_csv(sys.stdout, index=False)
