"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from foldtune.durations import seconds_of
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


def argument(metavar: str, help: str, **more: Any) -> Any:
    """Return an argument of a command; `more` are keywords of `typer.Argument`."""
    return typer.Argument(metavar=metavar, help=help, show_default=False, **more)


def option(metavar: str, help: str, *flags: str, **more: Any) -> Any:
    """Return an option with a value, named as its parameter where no flags are given; `more` is for `typer.Option`."""
    return typer.Option(*flags, metavar=metavar, help=help, **more)


def switch(help: str, *flags: str, **more: Any) -> Any:
    """Return an option without a value."""
    return typer.Option(*flags, help=help, **more)


def to_file(help: str) -> Any:
    """Return the option -o of a file to write."""
    return option("F", help, "--output", "-o", callback=output_file, show_default=False)


def to_folder(help: str) -> Any:
    """Return the option -o of a folder to write."""
    return option("DIR", help, "--output", "-o", callback=output_folder, show_default=False)


ConfigFile = Annotated[Path, argument("CONFIG", "The YAML file of the configuration.")]
RunName = Annotated[str, argument("RUN", "A run: its name under the storage, or the path or URL of its folder.")]
Overrides = Annotated[
    list[str] | None, option("KEY.PATH=VALUE", "Override a value of the file; may be given often.", "--set")
]
Storage = Annotated[str, option("FOLDER|URL", "Where runs are kept: a folder, or s3://bucket/prefix.")]
DataRoot = Annotated[
    Path | None,
    option(
        "ROOT",
        "Where the run's data.root lies now, if the data moved; digests prove that they are the same.",
        file_okay=False,
    ),
]
StorageOverride = Annotated[str | None, option("FOLDER|URL", "Where runs are kept; the file's own value by default.")]


TimeLimit = Annotated[str | None, option("T", "Running time at most: 2h, 90m, 1h30m, or seconds.")]


def seconds(text: str | None) -> float | None:
    """Return the seconds of a TimeLimit. Raises BadParameter."""
    try:
        return None if text is None else seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--time-limit") from None


def _trust(context: typer.Context, value: bool) -> bool:
    from foldtune.search.runs.trusted_metrics import trusting_metrics

    context.with_resource(trusting_metrics(value))  # until the command ends
    return value


TrustMetric = Annotated[
    bool,
    switch(
        "Run the metric.py of a run that no search of yours on this machine started: it is code. Read it first.",
        "--trust-metric",
        callback=_trust,
    ),
]
Address = Annotated[str | None, option("A", "A running Ray: auto or HOST:PORT. By default one is started here.")]
AnyAddress = Annotated[
    str | None,
    option(
        "A", "A running Ray: auto or HOST:PORT joins it, http://HOST:8265 submits a job, ray://HOST:10001 runs on it."
    ),
]
ClusterAddress = Annotated[str, option("A", "The cluster: auto, HOST:PORT, http://HOST:8265 or ray://HOST:10001.")]
JobServerAddress = Annotated[
    str | None,
    option("A", "The job server, http://HOST:8265; by default the one that the run's folder names."),
]
AllowNoToken = Annotated[
    bool, switch("Trust a cluster on which everybody who reaches its ports can run code.", "--allow-no-token")
]
TableFormat = Annotated[Format, option("table|csv|json", "Form of the output.")]
ReportFormat = Annotated[TableOrJson, option("table|json", "Form of the output.")]
