"""The folder of the pretrained weights that a run's networks start from, and the record of what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from foldtune.errors import RunCorrupt
from foldtune.paths import join_stored
from foldtune.results.runs.names import check_name
from foldtune.results.storage.files import read_json, remove_tree, save_file, write_sealed
from foldtune.results.storage.paths import StorePath

NAME = "pretrained"
"""Name of the folder in a run's."""


@dataclass(frozen=True)
class InitialWeights:
    """What networks of one model start from.

    Attributes:
        model: name of the model.
        given: what the space has for it: "auto", "true", or the path of a file.
        source: file or repository of the weights; None for random ones.
        file: name of the run's own copy, None for random weights.
        digest: hexadecimal digits of the tensors' content.
        licence: the weights' licence, None where it is not known.
        reason: why they are random.
    """

    model: str
    given: str
    source: str | None = None
    file: str | None = None
    digest: str | None = None
    licence: str | None = None
    reason: str | None = None


class PretrainedDir:
    """The folder ``pretrained`` of a run: a safetensors file for each set of weights, and a record of them all."""

    def __init__(self, root: StorePath) -> None:
        self.root = root
        self.record_path = root / "weights.json"

    def weights_path(self, name: str) -> StorePath:
        """Return the path of a file that a trial's configuration names. Raises RunCorrupt: it leads out."""
        check_name(name, "file")
        return join_stored(self.root, name) if isinstance(self.root, Path) else self.root / name

    def write_weights(self, name: str, save: Callable[[Path], object]) -> None:
        """Store a file of weights by ``save(local)``. Raises StorageError."""
        save_file(self.weights_path(name), save)

    def write(self, weights: Sequence[InitialWeights]) -> None:
        """Store the record, after the files that it names. Raises StorageError."""
        write_sealed(self.record_path, {"weights": [asdict(each) for each in weights]})

    def read(self) -> tuple[InitialWeights, ...] | None:
        """Return the record, None in a run that was made before there was one. Raises RunCorrupt, StorageError."""
        stored = read_json(self.record_path)
        if stored is None:
            return None
        try:
            return tuple(InitialWeights(**each) for each in stored["weights"])
        except (KeyError, TypeError) as error:
            raise RunCorrupt(f"{self.record_path} is no record of pretrained weights: {error}") from None

    def discard(self) -> None:
        """Remove the folder. Raises StorageError."""
        remove_tree(self.root)
