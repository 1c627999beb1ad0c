"""The weights that the networks of a space start from: files that fit, weights that can be had, or random ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from foldtune.errors import InputError
from foldtune.results.runs.pretrained_dir import InitialWeights
from foldtune.spaces import Space
from foldtune.trainers.networks.models import check_model
from foldtune.trainers.networks.pretrained import AUTO, REMEDY, Origin, by_model, check_file, find_own, pretrained_of
from foldtune.trainers.settings import TrialSettings
from foldtune.wording import unknown

KEY = "space.pretrained"


def find_weights(space: Space) -> tuple[InitialWeights, ...]:
    """Return what each model of a space starts from, for each value of `pretrained` but false. It may take seconds.

    Raises:
        InputError: every problem of `check_files`, and `true` of a model whose weights cannot be had.
    """
    check_files(space)
    found, problems = [], []
    for model, given in _pairs(space):
        if given is not True and given != AUTO:
            origin = check_file(model, Path(str(given)))
            found.append(InitialWeights(model, str(given), origin.source, licence=origin.licence))
            continue
        own = find_own(model)
        word = AUTO if given == AUTO else "true"
        if isinstance(own, Origin):
            found.append(InitialWeights(model, word, own.source, licence=own.licence))
        elif given is True:
            problems.append(f"{KEY}: true, but no weights of '{model}' can be had ({own}): {REMEDY}")
        else:
            found.append(InitialWeights(model, word, reason=own))
    if problems:
        raise InputError(problems)
    return tuple(found)


def check_files(space: Space) -> None:
    """Check that each model that `pretrained` names is one of the space's, and that each file has weights of its model.

    Raises:
        InputError: every problem.
    """
    models, problems = _models(space), []
    named = {name for config in _configs(space) for name in _named(config.get("pretrained"))}
    problems += [f"{KEY}.{name}: {unknown('model', name, models)}" for name in sorted(named - models.keys())]
    for model, given in _pairs(space):
        if given is True or given == AUTO:
            continue
        try:
            check_file(model, Path(str(given)))
        except InputError as error:
            hint = (
                f"; of several models name each one's: {KEY}: {{MODEL: FILE}}" if len(models) > 1 and not named else ""
            )
            problems += [f"{KEY}: {problem}{hint}" for problem in error.problems]
    if problems:
        raise InputError(problems)


def weight_notes(weights: tuple[InitialWeights, ...]) -> tuple[str, ...]:
    """Return a line on each set of pretrained weights, and one on the models of each reason for random ones."""
    lines = [
        f"pretrained weights of {each.model}: {each.source}{f', {each.licence}' if each.licence else ''}"
        for each in weights
        if each.reason is None
    ]
    reasons: dict[str, list[str]] = {}
    for each in weights:
        if each.reason is not None:
            reasons.setdefault(each.reason, []).append(each.model)
    lines += [f"random weights of {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items()]
    return tuple(dict.fromkeys(lines))


def _configs(space: Space) -> Iterator[Mapping[str, object]]:
    for _, params in space.corner_cases():
        yield space.build(params)


def _models(space: Space) -> dict[str, None]:
    default = TrialSettings().model_name
    names = dict.fromkeys(str(config.get("model_name", default)) for config in _configs(space))
    return {name: None for name in names if not check_model(name, 0.0, 0.0)}  # others have a problem of their own


def _named(given: object) -> dict[str, object]:
    return by_model(given) if isinstance(given, Mapping) else {}


def _pairs(space: Space) -> dict[tuple[str, bool | str], None]:
    """Return each model with each value that `pretrained` may have for it, but false."""
    pairs: dict[tuple[str, bool | str], None] = {}
    models = _models(space)
    for config in _configs(space):
        for model in models:
            try:
                given = pretrained_of(config.get("pretrained", AUTO), model)
            except ValueError:  # which the settings' own check names
                continue
            if given is not False:
                pairs.setdefault((model, given))
    return pairs
