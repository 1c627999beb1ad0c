"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from foldtune.paths import check_apart, check_output


class Format(StrEnum):
    """Form in which a command prints a table."""

    table = "table"
    csv = "csv"
    json = "json"


class TableOrJson(StrEnum):
    """Form in which a command prints what would be no single CSV."""

    table = "table"
    json = "json"


def output_file(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """Return the file to write, before any work is done for it. Raises as `check_output` and `check_apart`."""
    return _output(param, value, is_folder=False)


def output_folder(param: typer.CallbackParam, value: Path | None) -> Path | None:
    """Return the folder to write, before any work is done for it. Raises as `check_output` and `check_apart`."""
    return _output(param, value, is_folder=True)


def _output(param: typer.CallbackParam, value: Path | None, *, is_folder: bool) -> Path | None:
    if value is not None:
        flag = next((each for each in param.opts if each.startswith("-")), None)
        name = flag or str(param.metavar)
        check_output(value, is_folder=is_folder, name=name)
        check_apart(value, is_folder=is_folder, name=name)
    return value


ConfigFile = Annotated[
    Path, typer.Argument(help="The YAML file of the configuration.", show_default=False, metavar="CONFIG")
]
RunName = Annotated[
    str,
    typer.Argument(
        help="A run: its name under the storage, or the path or URL of its folder.",
        show_default=False,
        metavar="RUN",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a value of the file; may be given often."),
]
Storage = Annotated[
    str, typer.Option("--storage", metavar="FOLDER|URL", help="Where runs are kept: a folder, or s3://bucket/prefix.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="ROOT",
        file_okay=False,
        help="Where the run's data.root lies now, if the data moved; digests prove that they are the same.",
    ),
]
StorageOverride = Annotated[
    str | None,
    typer.Option("--storage", metavar="FOLDER|URL", help="Where runs are kept; the file's own value by default."),
]
TrustMetric = Annotated[
    bool,
    typer.Option(
        "--trust-metric",
        help="Run the metric.py of a run that no search of yours on this machine started: it is code. Read it first.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="A", help="A running Ray: auto or HOST:PORT. By default one is started here."),
]
AnyAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="A running Ray: auto or HOST:PORT joins it, http://HOST:8265 submits a job, ray://HOST:10001 runs on it.",
    ),
]
ClusterAddress = Annotated[
    str,
    typer.Option("--address", metavar="A", help="The cluster: auto, HOST:PORT, http://HOST:8265 or ray://HOST:10001."),
]
JobServerAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="The job server, http://HOST:8265; by default the one that the run's folder names.",
    ),
]
AllowNoToken = Annotated[
    bool,
    typer.Option("--allow-no-token", help="Trust a cluster on which everybody who reaches its ports can run code."),
]
TableFormat = Annotated[Format, typer.Option("--format", metavar="table|csv|json", help="Form of the output.")]
ReportFormat = Annotated[TableOrJson, typer.Option("--format", metavar="table|json", help="Form of the output.")]
