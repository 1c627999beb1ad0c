"""What a new run takes over from earlier ones: their best configurations, and where they compare, their trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foldtune.results.records.proposals_file import KnownTrial, Proposals
from foldtune.results.records.ranking import finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.digests_file import read_digests
from foldtune.results.tables.formatting import counted
from foldtune.search.data.dataset import Labelled, image_plan
from foldtune.search.runs.digests import TRAIN, of_kind, summary
from foldtune.search.runs.pretrained import with_weights
from foldtune.search.runs.run import Run
from foldtune.spaces import Space
from foldtune.spaces.scalars import yaml_text
from foldtune.spaces.space import value_at
from foldtune.wording import first_few

BEST = 3
"""Configurations of each earlier run that are proposed."""
_RESOLVED = ("pretrained", "amp", "channels_last")
"""Keys of a stored configuration that its run resolved."""


def take_over(run: Run, labelled: Labelled, earlier: Sequence[Run]) -> tuple[Proposals, list[str]]:
    """Return what a new run starts from, and a line on each thing that was taken, left out or not comparable."""
    space, lines = run.space, list[str]()
    first: list[dict[str, Any]] = [space.default()]
    known: list[KnownTrial] = []
    for other in earlier:
        name, best = other.store.name, finalists(other.store.trials(), other.goal, BEST)
        if not best:
            lines.append(f"from run {name}: nothing, since no trial of it has finished")
            continue
        fitted = [_fitted(space, other, record) for record in best]
        first += [params for params, _ in fitted]
        ids = first_few([record.trial_id for record in best])
        lines.append(f"from run {name}: its best configurations come after the default (trials {ids})")
        if left_out := list(dict.fromkeys(text for _, texts in fitted for text in texts)):
            lines.append(f"from run {name}, left out: {first_few(left_out)}")
        if differing := list(_differing(run, labelled, other)):
            lines.append(f"from run {name}: no values for TPE, which differ by {', '.join(differing)}")
        elif run.config.search.algorithm == "tpe":
            trials = list(_known(run, other))
            known += trials
            lines.append(f"from run {name}: the values of {counted(len(trials), 'trial')} for TPE")
    distinct = [params for place, params in enumerate(first) if params not in first[:place]]
    return Proposals(first=distinct, known=known), lines


def _fitted(space: Space, other: Run, record: TrialRecord) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of a trial of another run as this space has them, and what of it cannot be kept."""
    params, outside = space.fitted(_config(record))
    texts = [f"{name} ({reason})" for name, reason in outside.items()]
    ours, absent = space.build(params), object()
    for each in other.space.parameters:
        if each.name not in record.params or each.name in outside:
            continue
        given, kept = record.params[each.name], value_at(ours, each.location.keys, absent)
        if kept is absent:
            texts.append(f"{each.name} (not in this space)")
        elif kept != given and each.name not in params:
            texts.append(f"{each.name} ({yaml_text(given)}, here {kept})")
    return params, texts


def _differing(run: Run, labelled: Labelled, other: Run) -> Iterator[str]:
    """Yield in what the trials of another run differ from those of this one, so that their values do not compare."""
    digests = read_digests(other.store)
    if digests is None or not labelled.digest or summary(of_kind(digests, TRAIN)) != labelled.digest:
        yield "rows, labels, images or folds"
    if image_plan(other.config.data, 0).preprocessing != labelled.images.preprocessing:
        yield "image sizes or preparation"
    if other.goal != run.goal:
        yield f"metric {other.goal.metric}"
    if other.config.search.max_epochs != run.config.search.max_epochs:
        yield f"epochs {other.config.search.max_epochs}"


def _known(run: Run, other: Run) -> Iterator[KnownTrial]:
    """Yield the finished trials of a comparable run whose configurations are ones of this space, weights and all."""
    weights = run.store.pretrained.read()
    for record in other.store.trials():
        value = record.value(run.goal.metric)
        if record.status not in ("COMPLETE", "PRUNED") or not math.isfinite(value):
            continue
        params, outside = run.space.fitted(_config(record))
        if not outside and _network(with_weights(run.space.build(params), weights)) == _network(record.config):
            yield KnownTrial(params=params, status=record.status, value=value, epochs=record.epochs)


def _config(record: TrialRecord) -> Mapping[str, Any]:
    """Return a trial's configuration, with what its run resolved as the space has it where it was sampled."""
    return {**record.config, **{key: record.params[key] for key in _RESOLVED if key in record.params}}


def _network(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a configuration without what a machine's timing decides, on which values hardly depend."""
    return {key: value for key, value in config.items() if key not in _RESOLVED[1:]}
