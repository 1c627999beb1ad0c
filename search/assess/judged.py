"""An ensemble as it was when it was judged: what is put into use is that, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt

from foldtune.errors import RunBusy, RunCorrupt
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.stored_json import require
from foldtune.results.storage.backend import FileState
from foldtune.results.storage.files import file_state
from foldtune.results.storage.paths import StorePath
from foldtune.search.assess.held_out import HeldOut, of_stored


@dataclass(frozen=True)
class JudgedEnsemble:
    """The content of an ensemble's files, and the versions of those that are copied later.

    Attributes:
        directory: folder of the ensemble.
        name: its name, for messages.
        description: content of ensemble.json.
        oof: arrays of oof.npz.
        weights: file of each fold model, by (member, fold).
        states: version of each of these files when they were read.
    """

    directory: EnsembleDir
    name: str
    description: Mapping[str, Any]
    oof: Mapping[str, npt.NDArray[Any]]
    weights: Mapping[tuple[str, int], StorePath]
    states: Mapping[StorePath, FileState | None]

    @classmethod
    def read(cls, directory: EnsembleDir, name: str) -> JudgedEnsemble:
        """Read an ensemble.

        Raises:
            RunCorrupt: weights, rows or parts of its JSON are gone.
            RunBusy: it is written meanwhile.
        """
        before = {path: file_state(path) for path in (directory.json_path, directory.oof_path)}
        description, oof = directory.read(), directory.read_oof()
        if description is None or oof is None:
            missing = directory.oof_path if description is not None else directory.json_path
            raise RunCorrupt(f"{missing} is gone; foldtune ensemble writes it again")
        require(description, ("estimate", "metric", "members", "folds", "task"), directory.json_path)
        weights = _weights(directory, description)
        states = before | {path: file_state(path) for path in weights.values()}
        gone = [path for path in weights.values() if states[path] is None]
        if gone:
            raise RunCorrupt(
                f"{len(gone)} of {len(weights)} weights are gone (first: {gone[0]}); foldtune ensemble again"
            )
        judged = cls(directory, name, description, oof, weights, states)
        judged.require_unchanged()
        return judged

    @cached_property
    def held_out(self) -> HeldOut:
        """Its rows, with the predictions of its estimate."""
        return of_stored(self.directory, self.name, self.description, self.oof)

    def require_unchanged(self) -> None:
        """Raise RunBusy where a file is not the one that was judged."""
        changed = [path for path, state in self.states.items() if file_state(path) != state]
        if changed:
            raise RunBusy(
                f"ensemble {self.name!r} was written while it was judged ({changed[0]} has changed): nothing is "
                "promoted; give the command again"
            )


def _weights(ensemble: EnsembleDir, description: Mapping[str, Any]) -> dict[tuple[str, int], StorePath]:
    names = [str(member.get("id") or member["trial_id"]) for member in description["members"]]
    return {
        (name, fold): ensemble.weights_path(name, fold) for name in names for fold in range(int(description["folds"]))
    }
