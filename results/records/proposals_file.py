"""What a search starts from beside its default: configurations to try first, and trials of earlier runs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from foldtune.results.records.stored_json import Count, Number, Stored, checked
from foldtune.results.storage.files import read_json, write_sealed
from foldtune.results.storage.paths import StorePath

NAME = "proposals.json"


class KnownTrial(Stored):
    """A finished trial of an earlier run that counts as one of this: the same rows, folds, metric and epochs."""

    params: dict[str, Any]
    status: Literal["COMPLETE", "PRUNED"]
    value: Number
    epochs: Count


class Proposals(Stored):
    """`proposals.json`.

    Attributes:
        first: flat parameters of the configurations to try first, in order; empty for the default alone.
        known: trials of earlier runs.
    """

    first: list[dict[str, Any]] = Field(default_factory=list)
    known: list[KnownTrial] = Field(default_factory=list)


def write_proposals(root: StorePath, proposals: Proposals) -> None:
    """Store what a run starts from. Raises StorageError."""
    write_sealed(root / NAME, proposals.model_dump(mode="json"))


def read_proposals(root: StorePath) -> Proposals:
    """Return what a run starts from. Raises RunCorrupt, StorageError."""
    stored = read_json(root / NAME)
    return Proposals() if stored is None else Proposals(**checked(stored, Proposals, root / NAME))
