"""From the data as they are to the findings of a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from foldtune.errors import InputError
from foldtune.search.init.columns import (
    are_numbers,
    choose_target,
    group_columns,
    label_columns,
    split_columns,
    split_findings,
)
from foldtune.search.init.findings import Finding, Proposal, Stated, Undecided, in_sections
from foldtune.search.init.fold_number import fold_findings
from foldtune.search.init.inventory import Inventory, take_inventory
from foldtune.search.init.kinds import Kind, kind_of
from foldtune.search.init.models import Models, models_here, working_size
from foldtune.search.init.roles import Roles, find_roles, picture_findings, zeros_hint
from foldtune.search.init.tables import TableFound, read_tables
from foldtune.trainers.data.readers.source import part_of
from foldtune.trainers.tasks import TASKS
from foldtune.wording import shortened, unknown

_CASE = re.compile(r"(^|_)case(_?(id|name|no|number))?$", re.IGNORECASE)

PRESETS = {
    "binary": ("multiclass", "retinopathy"),
    "multiclass": ("multiclass", "long_tail"),
    "multilabel": ("multilabel", "multilabel"),
    "ordinal": ("ordinal", "ordinal"),
    "text_detection": ("text_detection", "text_detection"),
}
"""Task → preset of labels in balance, and of imbalanced ones."""
METRICS = {
    "binary": ("accuracy", "balanced_accuracy"),
    "multiclass": ("accuracy", "balanced_accuracy"),
    "multilabel": ("macro_f1", "macro_f1"),
    "ordinal": ("qwk", "qwk"),
    "text_detection": ("hmean", "hmean"),
}
"""Task → metric of labels in balance, and of imbalanced ones."""


def propose(places: Sequence[Path], stated: Stated, folder: Path) -> Proposal:
    """Return the configuration that tables, folders and pictures suggest; nothing is trained.

    Args:
        folder: folder of the YAML, to which its paths are relative.

    Raises:
        Undecided: what the data do not show, with the flag that decides.
        InputError: places that do not exist, tables that cannot be read.
    """
    if stated.task is not None and stated.task not in TASKS:
        raise InputError(f"--task: {unknown('task', stated.task, TASKS)}")
    given = [each for each in (stated.train, stated.valid, stated.test, stated.sample) if each is not None]
    inventory = take_inventory([*places, *given], stated.images)
    paths = [*inventory.tables, *(each.resolve() for each in given if each.is_dir())]
    tables, skipped = read_tables(inventory, list(dict.fromkeys(paths)), stated.encoding)
    skipped = [*inventory.left_out, *skipped]
    if not any(table.ids for table in tables) and not stated.train and all(each.is_dir() for each in places):
        trees, more = read_tables(inventory, _class_folders(inventory))
        trees = [each for each in trees if each.frame.get("label", pd.Series(dtype=str)).nunique() > 1]
        unused = [f"not used: {table.path.name}, of which no column names pictures that were found" for table in tables]
        tables, skipped = trees or tables, [*skipped, *(unused if trees else more)]
    if not tables and skipped:
        raise InputError("; ".join(skipped))
    roles = find_roles(tables, stated, skipped)
    return Proposal(_findings(inventory, roles, stated, folder), roles.skipped)


def _class_folders(inventory: Inventory) -> list[Path]:
    """Return the folder that may be one of class folders: the one above all pictures' folders or their parts.

    It is one of those that the user named, or lies below one: what lies beside them is of another data set.
    """
    holders = {folder.parent for folder in inventory.pictures}
    above = {holder.parent for holder in holders if part_of(holder.name)}
    inside = _inside(above, inventory.named) or _inside(holders, inventory.named)
    parts = {part_of(each.name) for each in inside}
    if len(inside) > 1 and (None in parts or len(parts) < len(inside)):  # else each part of one data set is named apart
        choices = [os.path.relpath(each) for each in sorted(inside)]
        raise Undecided("several folders may be those of classes", "--train DIR", choices)
    return inside


def _inside(folders: Iterable[Path], named: Sequence[Path]) -> list[Path]:
    return [each for each in folders if any(each.is_relative_to(folder) for folder in named)]


def _findings(inventory: Inventory, roles: Roles, stated: Stated, folder: Path) -> tuple[Finding, ...]:
    train, root = roles.train, inventory.root
    ids = _ids(inventory, train, stated)
    target = _target(roles, stated, ids)
    kinds = _kinds(train, target, stated)
    one = next(iter(kinds.values()))
    groups = _groups(roles, stated, [*ids, *target])
    pictures, places = picture_findings(inventory, roles, ids, stated)
    models = models_here(one.task)
    size = (
        Finding("data.image_size", stated.image_size, "as stated")
        if stated.image_size
        else working_size(pictures, models.side, has_boxes=train.has_boxes)
    )
    several = len(ids) > 1
    id_finding = Finding(
        "data.id",
        list(ids) if several else ids[0],
        "images of one case a row" if several else "the column of picture names",
    )
    common = [
        Finding("name", _name(root), "of the run, and of its folder under runs/"),
        Finding("data.root", os.path.relpath(root, folder.resolve()), "the other paths are relative to it"),
        *(replace(each, value=_relative(each.value, root)) for each in roles.findings),
        *places,
        *([] if train.brings_target or train.images is not None else [id_finding]),
        *split_findings(train.frame, roles.valid is not None),
        *([Finding("data.encoding", stated.encoding, "as stated")] if stated.encoding else []),
        *groups,
        size,
    ]
    if len(kinds) == 1:
        own = [Finding("task", one.task, one.why), *common, *_label_findings(train, target, one)]
        own += _space_findings("", one, models, stated)
    else:
        own = common + [each for name in target for each in _own_findings(train, name, kinds[name], models, stated)]
    found = [*own, *_budget_findings(models)]
    return tuple(in_sections([*found, *fold_findings(found, folder)]))


def _own_findings(train: TableFound, name: str, kind: Kind, models: Models, stated: Stated) -> list[Finding]:
    """Return the findings of one of several targets, each of which is searched on its own."""
    if "." in name:
        raise InputError(f"--target: {name!r} among several targets: a name with a dot cannot be a key; rename it")
    prefix = f"targets.{name}."
    options = [Finding(prefix + each.key, each.value, each.why) for each in _option_findings(train, (name,), kind)]
    return [Finding(f"{prefix}task", kind.task, kind.why), *options, *_space_findings(prefix, kind, models, stated)]


def _kinds(train: TableFound, target: Sequence[str], stated: Stated) -> dict[str, Kind]:
    """Return the kind of problem by target: columns that are one-hot or multi-hot together have one."""
    if train.has_boxes:
        counts = {"text": int(train.frame["boxes"].map(len).sum())}
        return {"boxes": Kind("text_detection", f"{counts['text']:,} boxes of text", counts)}
    if len(target) == 1 or are_numbers(train.frame, target):
        return {target[0]: kind_of(train.frame, target, stated.task, stated.positive)}
    return {name: kind_of(train.frame, (name,), stated.task, stated.positive) for name in target}


def _ids(inventory: Inventory, train: TableFound, stated: Stated) -> tuple[str, ...]:
    ids = tuple(_known(train, name, "--id", f"column of {train.path.name}:") for name in stated.id) or train.ids
    if not ids:
        columns = list(map(str, train.frame.columns))
        first = next((f" (first: {names[0]})" for names in inventory.pictures.values() if names), "")
        cells = [str(cell) for name in columns for cell in train.frame[name].dropna().head(1)]
        hint = next(filter(None, (zeros_hint(inventory, cell) for cell in cells)), "")
        what = f"no column of {train.path.name} names pictures that were found"
        if hint:
            raise InputError(what + hint)
        raise Undecided(what + first, "--id COLUMN", columns)
    return ids


def _target(roles: Roles, stated: Stated, ids: Sequence[str]) -> tuple[str, ...]:
    train = roles.train
    frame = train.frame
    if train.has_boxes:
        return ("boxes",)
    target = (
        tuple(_known(train, name, "--target", f"column of {train.path.name}:") for name in stated.target)
        or (("label",) if train.brings_target else ())
        or _of_sample(roles, [*ids, *filter(None, (stated.case, stated.group, _case_of_sample(roles)))])
    )
    if target:
        return target
    known = [*ids, *([train.split] if train.split else []), *filter(None, (stated.group, stated.case))]
    known += [*group_columns(frame, known), *split_columns(frame)]
    shown = list(map(str, roles.test.frame.columns)) if roles.test is not None else []
    return choose_target(frame, label_columns(frame, known, [] if roles.test is roles.sample else shown), known)


def _case_of_sample(roles: Roles) -> str | None:
    """Return the column that a sample submission begins with where that names no pictures: it has a row a case."""
    if roles.sample is None or roles.sample.ids:
        return None
    name = str(roles.sample.frame.columns[0])
    has_names = name in roles.train.frame and (roles.test is None or name in roles.test.frame)
    return name if has_names else None


def _of_sample(roles: Roles, known: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of labels that a sample submission names, or whose labels are its columns.

    Args:
        known: columns that are something else.
    """
    if roles.sample is None:
        return ()
    frame = roles.train.frame
    others = [str(name) for name in roles.sample.frame.columns if name not in {*known, *roles.sample.ids}]
    named = tuple(name for name in others if name in frame)
    if named:
        return named
    lower = {name.lower() for name in others}
    return tuple(
        name for name in map(str, frame.columns) if {str(v).lower() for v in frame[name].dropna().unique()} == lower
    )[:1]


def _groups(roles: Roles, stated: Stated, others: Sequence[str]) -> list[Finding]:
    train, frame = roles.train, roles.train.frame
    if stated.case:
        return [Finding("data.case", _known(train, stated.case, "--case"), "its images are judged as one")]
    if not stated.group and (name := _case_of_sample(roles)) and name not in others:
        return [Finding("data.case", name, "the sample submission has a row for each of its values")]
    if len(train.ids) > 1 and not stated.group and (names := _case_names(roles, others)):
        return [Finding("data.case", names, "the names of the cases, of which each row is one")]
    if stated.group:
        return [Finding("data.group", _known(train, stated.group, "--group"), "never split between folds")]
    found = group_columns(frame, others)
    if not found:
        return []
    name = found[0]
    rows = frame[name].nunique()
    finer = f"; {found[1]} repeats, too" if len(found) > 1 else ""
    return [Finding("data.group", name, f"{rows:,} values on {len(frame):,} rows: never split between folds{finer}")]


def _case_names(roles: Roles, others: Sequence[str]) -> str | None:
    """Return the column that names the cases of tables with a case a row, by its name and its cells."""
    frame, test = roles.train.frame, roles.test
    named = [str(name) for name in frame.columns if _CASE.search(str(name)) and name not in others]
    unique = [name for name in named if frame[name].notna().all() and frame[name].is_unique]
    return next((name for name in unique if test is None or name in test.frame), None)


def _known(train: TableFound, name: str, flag: str, kind: str = "column") -> str:
    if name not in train.frame:
        raise InputError(f"{flag}: {unknown(kind, name, map(str, train.frame.columns))}")
    return name


def _label_findings(train: TableFound, target: Sequence[str], kind: Kind) -> list[Finding]:
    if train.brings_target and not train.has_boxes:
        return []
    value: str | list[str] = target[0] if len(target) == 1 else list(target)
    shown = ", ".join(f"{name}: {rows:,}" for name, rows in sorted(kind.counts.items(), key=lambda item: -item[1])[:8])
    return [Finding("data.target", value, shortened(shown, 90) or "the labels"), *_option_findings(train, target, kind)]


_OPTIONS = {
    "label_separator": "between the labels of a cell",
    "none_label": "stands for no label",
    "uncertain": "cells of -1 are unknown",
    "positive": "as stated",
}
"""Option of `data` → why it has its value."""


def _option_findings(train: TableFound, target: Sequence[str], kind: Kind) -> list[Finding]:
    found = [Finding(f"data.{key}", value, _OPTIONS[key]) for key, value in kind.options.items()]
    if len(target) == 1 and kind.task in ("binary", "multiclass", "ordinal") and not train.brings_target:
        empty = int(train.frame[target[0]].fillna("").str.strip().eq("").sum())
        if empty:
            found.append(Finding("data.on_missing", "skip", f"{empty:,} rows have no label and are left out"))
    return found


def _space_findings(prefix: str, kind: Kind, models: Models, stated: Stated) -> list[Finding]:
    tail = int(kind.is_imbalanced)
    balance = f"the largest class has {kind.imbalance:.1f} times the rows of the smallest"
    why = balance if len(kind.counts) > 1 else f"for {kind.task}"
    metric = Finding(f"{prefix}search.metric", METRICS[kind.task][tail], why)
    return [
        Finding(f"{prefix}space.preset", PRESETS[kind.task][tail], why),
        Finding(f"{prefix}space.model_name", {"choice": list(models.names)}, models.why),
        Finding(f"{prefix}search.metric", stated.metric, "as stated") if stated.metric else metric,
    ]


def _budget_findings(models: Models) -> list[Finding]:
    return [
        Finding("search.num_samples", 20, "trials"),
        Finding("search.max_epochs", 12, "of every trial"),
        Finding("search.seed", 0, "of folds, proposals and trainings"),
        *([Finding("resources.gpus_per_trial", 1, "one trial a GPU")] if models.on_gpu else []),
        Finding("ensemble.top", 3, "configurations that vote"),
    ]


def _name(root: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", root.name).strip("._-") or "data"


def _relative(value: object, root: Path) -> str:
    path = Path(str(value))
    return os.path.relpath(path, root) if path.is_relative_to(root) else str(path)
