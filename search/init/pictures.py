"""Where the pictures of the tables lie: one folder for all, another for those to submit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from foldtune.errors import InputError
from foldtune.search.init.findings import Finding, Stated
from foldtune.search.init.inventory import Inventory
from foldtune.search.init.roles import Roles


def picture_findings(
    inventory: Inventory, roles: Roles, ids: Sequence[str], stated: Stated
) -> tuple[list[Path], list[Finding]]:
    """Return the training rows' picture files, and the folders that the configuration names.

    Raises:
        InputError: not one picture of the training rows was found.
    """
    train, root = roles.train, inventory.root
    if train.brings_target and not train.has_boxes and train.path.is_dir():
        inside = [f / name for f, names in inventory.pictures.items() if f.is_relative_to(train.path) for name in names]
        return inside, []
    found = _found(inventory, train.frame, ids)
    if not found:
        cell = next(iter(train.frame[ids[0]].dropna()), "")
        raise InputError(f"{train.path}: no picture {cell!r} below {root}; name the folder of the pictures, too")
    folder = stated.images.resolve() if stated.images else _common(found, train.frame, ids)
    folders = len({path.parent for path in found})
    why = f"{len(found):,} pictures" + (f" in {folders} folders" if folders > 1 else "")
    findings = [Finding("data.images", os.path.relpath(folder, root), why)]
    if roles.test is not None and roles.test.ids:
        others = _found(inventory, roles.test.frame, roles.test.ids)
        place = _common(others, roles.test.frame, roles.test.ids) if others else folder
        if not place.is_relative_to(folder):
            why = f"{len(others):,} pictures to submit"
            findings.append(Finding("data.test_images", os.path.relpath(place, root), why))
    return found, findings


def _found(inventory: Inventory, frame: pd.DataFrame, ids: Sequence[str]) -> list[Path]:
    files = (inventory.files_of(str(cell)) for column in ids for cell in frame[column].dropna())
    return [found[0] for found in files if found]


def _common(files: Sequence[Path], frame: pd.DataFrame, ids: Sequence[str]) -> Path:
    """Return the folder to which the cells are relative: that of the pictures, less the folders that cells name."""
    folder = Path(os.path.commonpath([path.parent for path in files]))
    inside = Path(str(next(iter(frame[ids[0]].dropna()))).strip().replace("\\", "/")).parent
    if inside.is_absolute() or inside == Path("."):
        return folder
    parts = files[0].parent.parts
    own = inside.parts
    return Path(*parts[: -len(own)]) if parts[-len(own) :] == own else folder
