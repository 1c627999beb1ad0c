"""Arguments and options that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(help="The YAML file.", show_default=False, metavar="CONFIG")]
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
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="A", help="A running Ray: auto or HOST:PORT. An embedded one by default."),
]
AnyAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="A",
        help="A running Ray: auto or HOST:PORT joins it, http://HOST:8265 submits a job, ray://HOST:10001 runs on it.",
    ),
]
AllowNoToken = Annotated[
    bool,
    typer.Option("--allow-no-token", help="Trust a cluster on which everybody who reaches its ports can run code."),
]


class Format(StrEnum):
    """How a command prints a table."""

    table = "table"
    csv = "csv"
    json = "json"


class TableOrJson(StrEnum):
    """How a command prints what would be no single CSV."""

    table = "table"
    json = "json"


def decoders() -> int:
    """Processes that decode images: one a CPU that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
