"""Private names of Ray and Optuna: each stands in one module, and exists in the installed release."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers._tpe import sampler as tpe
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from ray.tune.schedulers import ASHAScheduler

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for room in ("search", "cluster", "results", "spaces") for path in (ROOT / room).rglob("*.py"))
INTERNALS = {
    "ray": "cluster/ray_internals.py",
    "optuna": "search/tuning/optuna_internals.py",
}
INHERITED = {"_brackets", "_trial_info", "_rungs", "_metric_op", "_max_t", "_file_path", "_get_trials"}
"""Private attributes of base classes: `self._brackets` is Ray's in a subclass of its ASHA."""
OWN = {"os._exit"}
PINNED = {
    "ray": (
        "ray._private.state.available_resources_per_node",
        "ray._private.state.jobs",
        "ray._private.state.actors",
        "ray._private.runtime_env.packaging.default_logger",
        "ray._private.ray_constants.ENABLE_RAY_CLUSTER",
        "ray.tune.execution.class_cache.ENV_VARS_TO_PROPAGATE",
        "ray._raylet.Config.initialize",
        "ray.air.execution._internal.RayActorManager._actor_task_failed",
    ),
    "optuna": (
        "optuna.storages.journal._file.get_lock_file",
        "optuna.storages.journal._storage.JournalOperation.SET_TRIAL_STATE_VALUES",
        "optuna.study.Study._get_trials",
        "optuna.storages.BaseStorage.set_trial_intermediate_value",
    ),
}


def resolve(name: str) -> Any:
    """Return the object of a dotted name; ImportError or AttributeError where there is none."""
    module, _, attribute = name.rpartition(".")
    try:
        parent = import_module(module)
    except ModuleNotFoundError:
        parent = resolve(module)
    return getattr(parent, attribute)


def missing(library: str, name: str) -> str:
    version = import_module(library).__version__
    return f"{library} {version} has no {name}: {INTERNALS[library]} tells what it was used for"


@pytest.mark.parametrize(("library", "name"), [(library, name) for library in PINNED for name in PINNED[library]])
def test_the_installed_release_has_the_private_name(library: str, name: str) -> None:
    try:
        resolve(name)
    except (ImportError, AttributeError):
        pytest.fail(missing(library, name))


def test_the_installed_releases_have_the_private_attributes(tmp_path: Path) -> None:
    study = optuna.create_study()
    journal = JournalFileBackend(str(tmp_path / "study.journal"))
    for library, owner, attribute in (
        ("ray", ASHAScheduler(metric="f1", mode="max"), "_brackets"),
        ("optuna", study, "_storage"),
        ("optuna", create_trial(state=TrialState.RUNNING), "_trial_id"),
        ("optuna", journal, "_lock"),
        ("optuna", journal, "_file_path"),
    ):
        assert hasattr(owner, attribute), missing(library, f"{type(owner).__name__}.{attribute}")
    brackets = ASHAScheduler(metric="f1", mode="max")._brackets
    assert [hasattr(bracket, "on_result") for bracket in brackets] == [True], missing("ray", "one bracket by default")


def test_tpe_reads_the_trials_by_the_private_method_that_the_view_replaces() -> None:
    assert "study._get_trials(" in inspect.getsource(tpe), missing("optuna", "Study._get_trials in TPESampler")


def private_names(source: str) -> Iterator[str]:
    """Return the private names of Ray and Optuna in a module: imports, attributes of their objects, inherited ones."""
    tree = ast.parse(source)
    uses = False
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for module in modules:
            library, *parts = module.split(".")
            if library in INTERNALS:
                uses = True
                if any(part.startswith("_") for part in parts):
                    yield module
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            library, *parts = node.value.split(".")
            if library in INTERNALS and any(part.startswith("_") for part in parts) and " " not in node.value:
                yield node.value
    for node in ast.walk(tree) if uses else ():
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if node.attr in INHERITED or not own:
                yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_private_names_stand_in_one_module_a_library(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in INTERNALS.values():
        return
    found = sorted(set(private_names(path.read_text())) - OWN)
    assert not found, f"private names of Ray or Optuna belong into {' or '.join(INTERNALS.values())}: {found}"


def test_the_check_finds_private_names() -> None:
    source = 'import ray\nfrom optuna.x._y import z\nstudy._storage\nself._brackets\nself._own\n"ray._private.q"\n'
    assert sorted(private_names(source)) == ["optuna.x._y.z", "ray._private.q", "self._brackets", "study._storage"]


def test_the_modules_of_private_names_exist() -> None:
    assert all((ROOT / path).is_file() for path in INTERNALS.values())
