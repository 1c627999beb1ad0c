"""The metrics that a configuration brings along: its file of metrics, its matrix of costs, and the goal by them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldtune.canonical import canonical_text
from foldtune.csv_files import REPEATED, csv_dialect, read_csv, read_text
from foldtune.errors import DataError, InputError
from foldtune.results.records.ranking import Goal
from foldtune.search.config.metric_file import metric_file
from foldtune.search.config.schema import SearchConfig
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.costs import COST, Costs, cost_labels
from foldtune.trainers.user_metrics.function import MetricFunction
from foldtune.trainers.user_metrics.task import UserMetric, stored_costs, with_metrics
from foldtune.wording import first_few, unknown


def read_metric(search: SearchConfig) -> MetricFunction | None:
    """Return the function that `search.metric` names, None for a metric of the task. Raises InputError."""
    found = metric_file(search.metric)
    if found is None:
        return None
    try:
        return MetricFunction.read(found.path, found.function)
    except InputError as error:
        raise InputError([f"search.metric: {problem}" for problem in error.problems]) from error.__cause__


def find_goal(search: SearchConfig, task: type[Task], function: MetricFunction | None) -> Goal:
    """Return what is optimised: the function, else the named metric, else the costs, else the task's own metric.

    Raises:
        InputError: there is no such metric.
    """
    if function is not None:
        return Goal(function.name, function.mode)
    known: Mapping[str, str] = {**({COST: Costs.mode} if search.costs is not None else {}), **task.metrics}
    chosen = search.metric or (COST if search.costs is not None else task.default_metric)
    if chosen in known:
        return Goal(chosen, Costs.mode if chosen == COST else task.metrics[chosen])
    if chosen == COST:
        raise InputError("search.metric: cost needs a matrix: give search.costs, as [[0, 1], [5, 0]]")
    raise InputError(f"search.metric: {unknown(f'metric of task {task.name}:', chosen, known)}")


def add_metrics(search: SearchConfig, task: Task, function: MetricFunction | None) -> Task:
    """Return the task with the configuration's function and costs.

    Raises:
        InputError: a matrix that does not fit the labels, a name that is taken, a task that takes none.
    """
    metrics: list[UserMetric] = [] if function is None else [function]
    key = "search.metric"
    try:
        if function is not None:
            with_metrics(task, metrics)
        key = "search.costs"
        if (costs := read_costs(search, task)) is not None:
            metrics.append(costs)
        return with_metrics(task, metrics)
    except DataError as error:
        raise InputError([f"{key}: {problem}" for problem in error.problems]) from None


def read_costs(search: SearchConfig, task: Task) -> Costs | None:
    """Return the costs in the order of the task's labels, None where there are none. Raises DataError."""
    if search.costs is None:
        return None
    if not isinstance(search.costs, str):
        return Costs.of(search.costs, task, "the matrix")
    path = Path(search.costs)
    return Costs.of(_table(path, cost_labels(task)), task, str(path))


def cost_note(search: SearchConfig, task: Task) -> tuple[str, ...]:
    """Return lines on the order of a matrix, which only numbers stand in, and on mistakes cheaper than the truth.

    Raises:
        InputError: all costs of each class are the same, so that no prediction is better than another.
    """
    if search.costs is None or (rows := stored_costs(task)) is None:
        return ()
    a_case = "; a case costs the sum over its labels" if cost_labels(task) == ("off", "on") else ""
    names = first_few(cost_labels(task), 20)
    lines = [f"search.costs: a row a true class, a column a predicted one, in the order {names}{a_case}"]
    costs = np.array(rows)
    if (costs == costs[:, :1]).all():
        raise InputError("search.costs: each class costs the same whatever is predicted; a mistake has to cost more")
    if len(odd := np.flatnonzero(costs.min(axis=1) < np.diag(costs))):
        cheaper = first_few([cost_labels(task)[row] for row in odd], 10)
        lines.append(f"search.costs: another class costs less than the true one, of {cheaper}")
    return tuple(lines)


def try_metric(task: Task, targets: npt.NDArray[np.generic], folds: npt.NDArray[np.int64], metric: str) -> None:
    """Call the user's function as a trial will: on the judged rows, with scores of a model that knows nothing.

    Raises:
        InputError: it raised, or returned no number.
    """
    rows = np.flatnonzero(folds == 0)
    scores = task.scores(np.random.default_rng(0).normal(size=(len(rows), task.head_size)))
    try:
        value = task.metric_value(metric, scores, task.predict(scores), targets[rows])
    except InputError as error:
        raise InputError([f"search.metric: {problem}" for problem in error.problems]) from error.__cause__
    if not np.isfinite(value):
        raise InputError(f"search.metric: {metric} returned {value} on the {len(rows)} rows of fold 0")


def _table(path: Path, labels: tuple[str, ...]) -> list[list[object]]:
    """Return the numbers of a CSV in the order of the labels: with the labels in its first row and column, or without.

    Raises:
        DataError: no table, or other labels than the task's.
    """
    frame = read_csv(path)  # which words what is wrong with a file
    if isinstance(_number(frame.columns[0]), float):  # else it is empty, or names what stands below it
        return [[_number(cell) for cell in row] for row in _cells(path)]
    if repeated := frame.attrs[REPEATED]:
        raise DataError([f"{path}: its columns have {first_few(repeated)} more than once"])
    columns = [canonical_text(str(name)) for name in frame.columns[1:]]
    rows = [canonical_text(str(name)) for name in frame.iloc[:, 0].fillna("")]
    wrong = [_mismatch(names, labels, where) for names, where in ((columns, "columns"), (rows, "rows"))]
    if problems := [f"{path}: {text}" for text in wrong if text]:
        raise DataError(problems)
    wanted = [canonical_text(name) for name in labels]
    cells = frame.iloc[:, 1:].to_numpy(dtype=object)
    order, across = [rows.index(name) for name in wanted], [columns.index(name) for name in wanted]
    return [[_number(cells[row, column]) for column in across] for row in order]


def _mismatch(names: Sequence[str], labels: Sequence[str], where: str) -> str:
    """Return how the names of a table's rows or columns differ from the labels, "" where they do not."""
    wanted = {canonical_text(label): label for label in labels}
    strange = [name for name in names if name not in wanted]
    lacking = [label for name, label in wanted.items() if name not in names]
    twice = [label for name, label in wanted.items() if names.count(name) > 1]
    found = [f"its {where} lack {first_few(lacking)}"] if lacking else []
    found += [unknown(f"class in its {where}:", strange[0], labels)] if strange else []
    found += [f"its {where} have {first_few(twice)} more than once"] if twice else []
    return "; ".join(found)


def _cells(path: Path) -> list[list[str]]:
    lines = csv.reader(io.StringIO(read_text(path)), delimiter=csv_dialect(path).delimiter)
    return [row for row in lines if row]


def _number(cell: object) -> object:
    """Return a cell as a number; what is none stays, for the message."""
    try:
        return float(str(cell))
    except ValueError:
        return cell
