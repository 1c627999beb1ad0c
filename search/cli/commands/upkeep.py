"""Commands that keep a machine tidy: runs archive, rm and note; cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import Format, Storage, TableFormat, argument, option

RunNames = Annotated[list[str], argument("NAME…", "Runs, by their names under the storage.")]
CacheFolder = Annotated[
    Path | None,
    option("DIR", "Folder of image caches (data.cache); the usual one by default.", "--folder", file_okay=False),
]


def archive(names: RunNames, storage: Storage = "runs") -> None:
    """Put runs into STORAGE/archive/NAME.tar, and remove their folders; `tar -xf` brings one back.

    A run stays where it is in use: a process works on it, its trials vote in another run's ensemble, or its ensemble
    is the model in a folder that it was promoted to.

    foldtune runs archive skin-2025
    """
    from foldtune.search.cli.handlers.look.runs import archive_runs

    archive_runs(names, storage)


def rm(names: RunNames, storage: Storage = "runs") -> None:
    """Remove runs with all that they hold. What protects a run is that of `foldtune runs archive`.

    foldtune runs rm skin-test skin-test2
    """
    from foldtune.search.cli.handlers.look.runs import remove_runs

    remove_runs(names, storage)


def note(
    name: Annotated[str, argument("NAME", "A run, by its name under the storage.")],
    text: Annotated[str, argument("TEXT", "The note; an empty one removes it.")],
    storage: Storage = "runs",
) -> None:
    """Keep a note on a run, which `foldtune runs` shows.

    foldtune runs note skin "the one with larger images"
    """
    from foldtune.search.cli.handlers.look.runs import note_run

    note_run(name, text, storage)


def cache(context: typer.Context, folder: CacheFolder = None, format: TableFormat = Format.table) -> None:
    """List what foldtune keeps on this machine beside the runs: decoded images, and what killed processes left.

    foldtune cache
    foldtune cache clear
    foldtune cache clear --older-than 0
    """
    if context.invoked_subcommand is not None:
        return
    from foldtune.search.cli.handlers.cluster.cache import show_cache

    show_cache(folder, format)


def clear(
    folder: CacheFolder = None,
    older_than: Annotated[
        float, option("DAYS", "Image caches not used for so many days.", "--older-than", min=0)
    ] = 30.0,
) -> None:
    """Remove what killed processes left, and image caches that were not used for a while.

    Images are decoded again where a run needs them; nothing of a run is lost.

    foldtune cache clear --older-than 7
    """
    from foldtune.search.cli.handlers.cluster.cache import clear_cache

    clear_cache(folder, older_than)
