"""The pretrained weights of a run: stored at its start, the same for every trial, fold and worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.results.runs.pretrained_dir import InitialWeights, PretrainedDir
from foldtune.search.config.pretrained_files import WORDS, with_files
from foldtune.trainers.networks.pretrained import AUTO, file_weights, own_weights, pretrained_of
from foldtune.trainers.settings import TrialSettings

DIGITS = 12
"""Digits of the digest in a file's name."""


def store_weights(found: Sequence[InitialWeights], folder: PretrainedDir) -> tuple[InitialWeights, ...]:
    """Store the weights that were found, downloaded where they are not here yet, and their record, which is returned.

    Raises:
        InputError: a file that changed since it was checked.
        WorkError: weights that cannot be downloaded.
    """
    from foldtune.trainers.networks.weights import save_weights, sum_of  # heavy: it imports torch

    stored = []
    for each in found:
        if each.source is None:
            stored.append(each)
            continue
        own = each.given in WORDS
        weights = own_weights(each.model) if own else file_weights(each.model, Path(each.given))[0]
        digest = sum_of(weights)
        name = f"{each.model}-{digest[:DIGITS]}.safetensors"
        notes = {"source": each.source, **({"licence": each.licence} if each.licence else {})}
        folder.write_weights(name, partial(save_weights, weights, notes=notes))
        stored.append(replace(each, file=name, digest=digest))
    folder.write(stored)
    return tuple(stored)


def with_weights(config: Mapping[str, Any], weights: Sequence[InitialWeights] | None) -> dict[str, Any]:
    """Return a trial's configuration with what its network starts from: false, or the name of the run's file.

    Args:
        weights: the run's record; None in a run of before, whose configurations stay as they are.
    """
    if weights is None:
        return dict(config)
    own = initial_weights(config, weights)
    return {**config, "pretrained": False if own is None or own.file is None else own.file}


def initial_weights(config: Mapping[str, Any], weights: Sequence[InitialWeights]) -> InitialWeights | None:
    """Return the part of a record that a configuration names; None where it is false. Raises InputError: none is."""
    model = str(config.get("model_name", TrialSettings().model_name))
    given = pretrained_of(config.get("pretrained", AUTO), model)
    if given is False:
        return None
    word = "true" if given is True else given
    for each in weights:
        if (each.model, each.given) == (model, word):
            return each
    raise InputError(f"pretrained: the run has no record of what '{model}' with {word} starts from")


def check_same_files(space: Mapping[str, Any], weights: Sequence[InitialWeights] | None) -> None:
    """Check that the files of a resumed configuration, as far as they are still there, hold what the run stored.

    Raises:
        InputError: another file.
    """
    from foldtune.trainers.networks.weights import sum_of  # heavy: it imports torch

    paths: list[str] = []
    with_files(space, lambda path: paths.append(path) or path)  # type: ignore[func-returns-value]
    for path in map(Path, paths):
        for each in weights or ():
            if Path(each.given).name != path.name or not path.is_file():
                continue
            if sum_of(file_weights(each.model, path)[0]) != each.digest:
                raise InputError(
                    f"space.pretrained: {path} holds other weights than the run was started with; a resumed search "
                    "keeps its own: use --name for another run"
                )
