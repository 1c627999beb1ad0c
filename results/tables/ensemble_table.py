"""An ensemble as terminal tables: its members, its cross-fitted estimate and its classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.records.trials import Mode
from foldtune.results.tables.columns import Column, fitted_table, titled
from foldtune.results.tables.formatting import DASH, metric_text, number_text
from foldtune.results.tables.leaderboard_table import BEST_STYLE, STATUS_STYLES, metric_column, parameter_columns

_CLASSES = 15
_WEAK_F1 = 0.5
SCORES_OF = {"hard": "the members' mean scores (votes give labels, not scores)", "rank": "the members' mean ranks"}
"""What the scores of an ensemble are, by voting, where its predictions come from something else."""


def ensemble_table(ensemble: Mapping[str, Any], *, width: int | None = None) -> Group:
    """Return the members, the estimate and the per-class figures of an ensemble.json.

    Keys: metric, mode, voting, folds, members [{trial_id, run, weight, oof, fold_values, params, status}], estimate
    {metric: value}; optional: score_metrics [those of scores], asked (the configured voting), compared
    {voting: value}, seed_values [value], refit, tta, dropped [{id, value, leader, difference {value, low, high}}],
    interval [low, high], best_single {trial_id, value}, gain, gain_interval [low, high], fixed_postprocess
    {name: value}, per_class [{label, precision, recall, f1, support}].
    """
    direction: Mode = ensemble["mode"]
    parts: list[Group | Table | Text] = [_members(ensemble, direction, width)]
    if ensemble.get("dropped"):
        parts.append(_dropped(ensemble["dropped"]))
    parts.append(_estimate(ensemble, direction))
    if ensemble.get("compared"):
        parts.append(_compared(ensemble, direction))
    if ensemble.get("per_class"):
        parts.append(_classes(ensemble["per_class"], width))
    return Group(*parts)


def _members(ensemble: Mapping[str, Any], direction: Mode, width: int | None) -> Group:
    members: Sequence[Mapping[str, Any]] = ensemble["members"]
    folds = [[_value(v) for v in member.get("fold_values") or ()] for member in members]
    columns = [
        Column("#", tuple(Text(str(i)) for i in range(1, len(members) + 1)), 0),
        Column("trial", tuple(map(_trial, members)), 0, right=False),
        metric_column("out of fold", [_value(m.get("oof")) for m in members], direction, 0, strong=True),
        Column(
            "weight",
            tuple(Text(DASH if w is None else f"{w:.3g}") for w in (each.get("weight") for each in members)),
            1,
        ),
        Column("folds mean ± sd", tuple(Text(_spread(values)) for values in folds), 2),
    ]
    if len({member.get("run") for member in members}) > 1:
        columns.insert(2, Column("run", tuple(Text(str(m.get("run"))) for m in members), 1, right=False))
    params = [member.get("params") or {} for member in members]
    headers = ["#", "trial", "run", "weight", "out of fold"]
    columns += parameter_columns(params, headers, importance=3)
    for fold in range(max(map(len, folds), default=0)):
        values = [row[fold] if fold < len(row) else math.nan for row in folds]
        columns.append(metric_column(f"fold {fold}", values, direction, 4))
    voting, metric = ensemble["voting"], ensemble["metric"]
    chosen = f"{voting} voting (auto)" if ensemble.get("asked") == "auto" else f"{voting} voting"
    views = f", {ensemble['tta']} views" if ensemble.get("tta") else ""
    title = f"{len(members)} members, {ensemble['folds']} folds, {chosen}{views}, by {metric}"
    return titled(title, fitted_table(columns, width, "--format json"))


def _trial(member: Mapping[str, Any]) -> Text:
    """Return the id of a member's trial, marked where the search had stopped it early."""
    text = Text(str(member["trial_id"]))
    return text.append(" pruned", style=STATUS_STYLES["PRUNED"]) if member.get("status") == "PRUNED" else text


def _estimate(ensemble: Mapping[str, Any], direction: Mode) -> Text:
    metric = ensemble["metric"]
    estimate: Mapping[str, Any] = ensemble["estimate"]
    text = Text(" ").append(f"{metric} {metric_text(estimate.get(metric))}", style=BEST_STYLE)
    if ensemble.get("interval"):
        low, high = ensemble["interval"]
        text.append(f"  [{metric_text(low)}, {metric_text(high)}]")
    text.append("  cross-fitted" + (", 95% bootstrap" if ensemble.get("interval") else ""), style="dim")
    if alone := [_value(each) for each in ensemble.get("seed_values") or ()]:
        text.append(f"\n {len(alone)} seeds, each alone: {_spread(alone)}, {metric_text(min(alone))} to ")
        text.append(f"{metric_text(max(alone))}; the interval is of the rows, and has no part of this spread")
    if ensemble.get("refit"):
        epochs = ", ".join(str(member.get("refit_epochs", DASH)) for member in ensemble["members"])
        text.append(f"\n models of all rows predict (to epoch {epochs}): no row is held out of them, and ")
        text.append("every figure is of the fold models")
    if single := ensemble.get("best_single"):
        text.append(f"\n best single trial {single['trial_id']}: {metric_text(single['value'])}")
    gain = ensemble.get("gain")
    if gain is not None and math.isfinite(gain):
        helps = gain > 0 if direction == "max" else gain < 0
        word = "gain" if direction == "max" else "less is better:"
        text.append(f"  {word} {gain:+#.4g}", style="green" if helps else "yellow")
        if ensemble.get("gain_interval"):
            low, high = ensemble["gain_interval"]
            text.append(f"  [{low:+.4f}, {high:+.4f}]")
    if fixed := ensemble.get("fixed_postprocess"):
        values = ", ".join(f"{name}={value}" for name, value in fixed.items())
        text.append(f"\n post-processing as the space fixes it: {values}", style="dim")
    others = [f"{name} {metric_text(value)}" for name, value in estimate.items() if name != metric]
    if others:
        text.append("\n " + " · ".join(others), style="dim")
    if line := scores_line(ensemble):
        text.append(f"\n {line}", style="dim")
    return text


def scores_line(ensemble: Mapping[str, Any]) -> str:
    """Return what the metrics of scores are of, where that is not what the predictions come from; else "".

    >>> scores_line({"voting": "hard", "score_metrics": ["auroc", "loss"]})
    "auroc, loss: of the members' mean scores (votes give labels, not scores)"
    """
    names, source = ensemble.get("score_metrics") or (), SCORES_OF.get(ensemble["voting"])
    return f"{', '.join(names)}: of {source}" if names and source else ""


def _dropped(rows: Sequence[Mapping[str, Any]]) -> Text:
    """Return the candidates that racing eliminated after the first folds, with their differences."""
    text = Text()
    for row in rows:
        gap = row["difference"]
        text.append(f" {row['id']} dropped out after two folds: {metric_text(row['value'])}, ")
        text.append(f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}] against {row['leader']}\n")
    text.rstrip()
    text.stylize("dim")
    return text


def _compared(ensemble: Mapping[str, Any], direction: Mode) -> Text:
    """Return the votings that auto compared, the best first, the chosen one highlighted."""
    sign = -1 if direction == "max" else 1
    values: Mapping[str, float] = ensemble["compared"]
    text = Text(" compared: ", style="dim")
    for place, name in enumerate(sorted(values, key=lambda each: sign * values[each])):
        text.append(" · " if place else "")
        text.append(f"{name} {metric_text(values[name])}", style="bold not dim" if name == ensemble["voting"] else "")
    return text


def _classes(rows: Sequence[Mapping[str, Any]], width: int | None) -> Table:
    """Return a table of the classes, or of those with the lowest F1, the worst first."""
    shown = rows if len(rows) <= _CLASSES else sorted(rows, key=lambda row: _value(row["f1"]))[:_CLASSES]
    columns = [Column("class", tuple(Text(str(row["label"])) for row in shown), 0, right=False)]
    for name, importance in (("precision", 1), ("recall", 1), ("f1", 0)):
        columns.append(Column(name, tuple(_score(_value(row[name])) for row in shown), importance))
    columns.append(Column("rows", tuple(Text(number_text(row["support"])) for row in shown), 1))
    notes = [f"the {len(shown)} weakest of {len(rows)} classes by F1"] if len(rows) > len(shown) else []
    return fitted_table(columns, width, "--format json", notes)


def _score(value: float) -> Text:
    return Text(metric_text(value), style="red" if value < _WEAK_F1 else "")


def _spread(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return DASH
    mean = metric_text(fmean(finite))
    return f"{mean} ± {stdev(finite):.3f}" if len(finite) > 1 else mean


def _value(value: float | None) -> float:
    return math.nan if value is None else float(value)
