"""Every wrong configuration ends with exit code 2 and a message with key path, valid values and nearest name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from foldtune.errors import InputError
from foldtune.search.checks.space_rules import without_labels
from foldtune.search.runs.validation import check_space
from foldtune.spaces import Space
from foldtune.spaces.presets import list_presets, tasks_of
from foldtune.trainers.tasks import TASKS

Command = Callable[..., tuple[int, str, str]]
LR = {"loguniform": [1e-3, 1e-2]}

FORM = {
    "unknown section": (
        {"serch": {}},
        ["serch: unknown key 'serch'; did you mean 'search'?", "valid: name, task, data,"],
    ),
    "unknown key of data": ({"data.imags": "x"}, ["data.imags: unknown key 'imags'; did you mean 'images'"]),
    "unknown key of search": ({"search.epochs": 3}, ["search.epochs: unknown key", "did you mean 'max_epochs'?"]),
    "unknown key of resources": ({"resources.gpus": 1}, ["resources.gpus: unknown key", "'gpus_per_trial'"]),
    "unknown key of ensemble": ({"ensemble.fold": 3}, ["ensemble.fold: unknown key 'fold'; did you mean 'folds'?"]),
    "key of another section": ({"num_samples": 9}, ["num_samples: unknown key", "did you mean 'search.num_samples'?"]),
    "key that is a number": ({"7": 1, "search": {7: 1}}, ["search.7: a key must be text, not 7: quote it"]),
    "unknown value": ({"data.resize": "squish"}, ["data.resize: unknown value 'squish'; did you mean 'squash'?"]),
    "value in another case": ({"search.trial_scheduler": "ASHA"}, ["search.trial_scheduler", "did you mean 'asha'?"]),
    "unknown task": ({"task": "multi_class"}, ["task: unknown task 'multi_class'; did you mean 'multiclass'?"]),
    "text for a number": ({"search.num_samples": "many"}, ["search.num_samples: must be an integer >= 1", "'many'"]),
    "fraction for an integer": ({"search.max_epochs": 2.5}, ["search.max_epochs: must be an integer", "not 2.5"]),
    "switch for a number": ({"search.seed": True}, ["search.seed: must be an integer >= 0", "not True"]),
    "nothing for a number": ({"search.seed": None}, ["search.seed: must be an integer", "not nothing"]),
    "one fold": ({"ensemble.folds": 1}, ["ensemble.folds: must be an integer >= 2 and <= 50, not 1"]),
    "no configurations": ({"ensemble.top": 0}, ["ensemble.top: must be an integer >= 1"]),
    "number for a name": ({"name": 12}, ["name: must be text, not 12; quote it"]),
    "name that is no folder": ({"name": "my run/1"}, ["name: 'my run/1' cannot be a run name", "'my_run_1' would do"]),
    "text for a section": ({"data": "train.csv"}, ["data: must be a mapping of keys (root, train", "'train.csv'"]),
    "list for a space": ({"space": [1]}, ["space: must be a mapping of keys, not [1]"]),
    "one side of an image": ({"data.image_size": [16]}, ["data.image_size: must be one side of 8 to 4096", "[16]"]),
    "tiny images": ({"data.image_size": 4}, ["data.image_size: must be one side of 8 to 4096 pixels", "not 4"]),
    "GPUs and a half": ({"resources.gpus_per_trial": 1.5}, ["resources.gpus_per_trial: must be a fraction", "not 1.5"]),
    "grace above budget": (
        {"search.grace_epochs": 3, "search.max_epochs": 2},
        ["search.grace_epochs: must be at most search.max_epochs, which is 2, not 3"],
    ),
    "too many votes": (
        {"ensemble.min_votes": 3, "ensemble.top": 2},
        ["ensemble.min_votes: each of 2 configurations", "give 1 to 2"],
    ),
    "a URL of no protocol": ({"storage": "s4://bucket/runs"}, ["storage: 's4://bucket/runs': there", "mean s3://…?"]),
    "a URL with a password": ({"storage": "ftp://me:pw@host/runs"}, ["storage: 'ftp://host/runs'", "environment"]),
    "a URL of one process": ({"storage": "memory://runs"}, ["storage: lives in one process", "s3://bucket/prefix"]),
}

SPACE = {
    "unknown setting": ({"space.drop_rat": 0.1}, ["space.drop_rat: unknown setting", "did you mean 'drop_rate'?"]),
    "out of range": ({"space.drop_rate": {"uniform": [0, 1.5]}}, ["space.drop_rate: must be a number >= 0", "not 1.5"]),
    "unknown model": (
        {"space.model_name": {"choice": ["test_resnet", "resnet10"]}},
        ["space.model_name: unknown model 'resnet10'", "'resnet10t'"],
    ),
    "unknown loss": (
        {"space.loss": {"choice": {"focl": {"gamma": {"uniform": [0, 2]}}, "cross_entropy": None}}},
        ["space.loss: unknown loss 'focl'; did you mean 'focal'?"],
    ),
    "unknown loss parameter": (
        {"space.loss": {"choice": {"focal": {"gama": {"uniform": [0, 2]}}, "cross_entropy": None}}},
        ["space.loss.focal.gama: unknown parameter 'gama'; did you mean 'gamma'?"],
    ),
    "loss parameter out of range in a branch that is not the default": (
        {"space.loss": {"choice": {"focal": None, "cross_entropy": {"label_smoothing": {"uniform": [0, 1.2]}}}}},
        ["space.loss.cross_entropy.label_smoothing: must be a number >= 0 and < 1, not 1.2"],
    ),
    "warm-up beyond the budget": (
        {"space.lr_scheduler": {"name": "cosine", "warmup_epochs": {"int": [1, 40]}}},
        ["space.lr_scheduler.warmup_epochs"],
    ),
    "unknown kind of range": ({"space.lr": {"logunifrom": [1, 2]}}, ["space.lr: unknown kind", "'loguniform'"]),
    "bounds swapped": ({"space.drop_rate": {"uniform": [0.5, 0]}}, ["space.drop_rate: low bound 0.5 is above"]),
    "bare list": ({"space.batch_size": [32, 64]}, ["space.batch_size: a list is not a value; write {choice: […]}"]),
    "unknown preset": ({"space": {"preset": "quik"}}, ["space.preset: unknown preset 'quik'; did you mean 'quick'?"]),
    "unknown post-processing": (
        {"space.postprocess": {"prior_powr": 0.5, "offsets": {"c9": 1}}},
        ["space.postprocess.prior_powr", "'prior_power'", "space.postprocess.offsets.c9: unknown label", "c0, c1, c2"],
    ),
    "nothing sampled": ({"space": {"lr": 0.01}}, ["space: nothing in it is sampled, so all 2 trials"]),
    "a vote that the metric does not allow": (
        {"ensemble.voting": "rank", "search.metric": "macro_f1"},
        ["ensemble.voting: rank: task multiclass can average ranks only for metrics of an order", "not for macro_f1"],
    ),
    "metric of another task": ({"search.metric": "qwk"}, ["search.metric: unknown metric of task multiclass: 'qwk'"]),
    "metric misspelt": ({"search.metric": "macro-f1"}, ["search.metric: unknown metric", "did you mean 'macro_f1'"]),
}


@pytest.mark.parametrize(("changes", "parts"), FORM.values(), ids=FORM)
def test_form(project: Any, foldtune: Command, changes: dict[str, Any], parts: list[str]) -> None:
    code, out, err = foldtune("validate", project.config(changes))
    assert (code, out) == (2, "")
    assert [part for part in parts if part not in err] == [], err


@pytest.mark.parametrize(("changes", "parts"), SPACE.values(), ids=SPACE)
def test_space(project: Any, foldtune: Command, changes: dict[str, Any], parts: list[str]) -> None:
    code, out, err = foldtune("validate", project.config(changes))
    assert (code, out) == (2, "")
    assert [part for part in parts if part not in err] == [], err


def test_problems_of_every_part_are_reported_together(project: Any, foldtune: Command) -> None:
    changes = {
        "data.resize": "squish",
        "search.num_samples": 0,
        "ensemble.fold": 3,
        "task": "multi_class",
        "space.lr": {"uniform": [1, 0]},
        "storag": "runs",
    }
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert err.startswith("error: 6 problems\n")
    keys = [line.strip().split(":")[0] for line in err.splitlines()[1:]]
    assert sorted(keys) == ["data.resize", "ensemble.fold", "search.num_samples", "space.lr", "storag", "task"]


TOGETHER = {
    "a wrong key of search, and what the trainer refuses": (
        {"search.num_samples": 0, "space.dropp": 1, "space.loss": "focl"},
        ["search.num_samples", "space.dropp", "space.loss"],
    ),
    "a wrong seed, and a metric of another task": (
        {"search.seed": -1, "search.metric": "qwk", "ensemble.voting": "rnk"},
        ["search.seed", "search.metric", "ensemble.voting"],
    ),
    "a table that is not there, and the space": (
        {"data.train": "none.csv", "space.loss": {"choice": {"focal": {"gama": 1}, "cross_entropy": None}}},
        ["data.train", "space.loss.focal.gama"],
    ),
    "a column that is not there, the space, and a vote": (
        {"data.target": "lable", "space.dropp": 1, "ensemble.min_votes": 9},
        ["data.target", "space.dropp", "ensemble.min_votes"],
    ),
    "a wrong way to resize, a column, and the space": (
        {"data.resize": "squish", "data.target": "lable", "space.drop_rate": -1},
        ["data.resize", "data.target", "space.drop_rate"],
    ),
    "a wrong budget, and folds that a class has not": (
        {"search.max_epochs": "many", "ensemble.folds": 9, "space.dropp": 1, "resources.gpus_per_trial": -1},
        ["search.max_epochs", "ensemble.folds", "space.dropp", "resources.gpus_per_trial"],
    ),
    "all the folds of the ensemble, and rows that lack images": (
        {"data.images": "nowhere", "search.sed": 1, "space.dropp": 1},
        ["data.train", "search.sed", "space.dropp"],
    ),
}


@pytest.mark.parametrize(("changes", "keys"), TOGETHER.values(), ids=TOGETHER)
def test_one_run_lists_the_problems_of_all_sections(
    project: Any, foldtune: Command, changes: dict[str, Any], keys: list[str]
) -> None:
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    found = {line.removeprefix("error:").strip().split(": ")[0] for line in err.splitlines()}
    assert set(keys) <= found, err
    assert found - {f"{len(found) - 1} problems"} == set(keys), err


def test_a_preset_of_another_task_is_the_cause(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("validate", project.config({"space": {"preset": "multilabel"}}))
    assert code == 2
    assert err == (
        "error: space.preset: 'multilabel' is for multilabel and binary, not for task multiclass; "
        "for it: finetune, long_tail, multiclass, quick\n"
    )
    code, _, err = foldtune("validate", project.config({"space": {"preset": "multilabel", "loss": "bce"}}))
    assert "space.loss: loss 'bce' does not fit task multiclass" in err  # the user's own


@pytest.mark.parametrize("preset", list_presets())
def test_a_preset_names_the_tasks_that_it_fits(preset: str) -> None:
    fitting = []
    for name, task_class in TASKS.items():
        task = without_labels(task_class)
        if task is None:  # boxes, which this preset alone is for
            fitting += [name] * (preset == name)
            continue
        with suppress(InputError):
            check_space(Space.parse({"preset": preset}), task, 12, labelled=False)
            fitting.append(name)
    assert sorted(tasks_of(preset)) == sorted(fitting)


def test_only_a_near_name_is_proposed_for_a_file(project: Any, foldtune: Command) -> None:
    project.config()
    assert "did you mean 'config.yaml'?" in foldtune("validate", "cofnig.yaml")[2]
    assert "did you mean 'config.yaml'?" in foldtune("validate", "config.yml")[2]
    for other in ("skin.yaml", "search.yaml", "x.yaml"):
        assert "did you mean" not in foldtune("validate", other)[2]
    assert "did you mean" not in foldtune("validate", project.config({"data.train": "labels.csv"}))[2]
    assert "did you mean 'train.csv'?" in foldtune("validate", project.config({"data.train": "trian.csv"}))[2]
    rows = [("d9999.png", "c0"), *project.rows[1:]]
    assert "did you mean" not in foldtune("validate", project.config({"data.train": project.table(rows)}))[2]


def test_a_wrong_section_does_not_hide_what_the_trainer_refuses(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("validate", project.config({"resources.gpu": 1, "space.dropp": 1}))
    assert code == 2
    assert "resources.gpu: unknown key" in err
    assert "space.dropp: unknown setting" in err


def test_no_message_depends_on_a_wrong_section(project: Any, foldtune: Command) -> None:
    """Two rows of a class are enough for the two folds that were meant, not for the default of five."""
    table = project.table([*project.rows[:8], *project.rows[8:10]])
    code, _, err = foldtune("validate", project.config({"data.train": table, "ensemble": {"fold": 2}}))
    assert code == 2
    assert err.count("\n") == 1, err
    assert "ensemble.fold: unknown key" in err


def test_missing_keys_are_explained(project: Any, foldtune: Command) -> None:
    content = b"task: multiclass\ndata: {train: train.csv}\n"
    code, _, err = foldtune("validate", project.text(content))
    assert code == 2
    assert "name: missing; give the name of the run" in err
    assert "data.target: missing; give the column of the labels" in err
    assert "space: missing" in err


YAML = {
    "a list": (b"- a\n", "is a list; a configuration is a mapping of keys (name, task, data, space"),
    "empty": (b"", "is empty; a configuration is a mapping"),
    "only a comment": (b"# later\n", "is empty; a configuration is a mapping"),
    "a text": (b"hello", "is text; a configuration is a mapping"),
    "not UTF-8": (b"name: caf\xe9\n", "is not UTF-8 text; save it as UTF-8"),
    "a key twice": (b"name: a\nname: b\n", "line 2: key 'name' is given twice; keep one"),
    "a nested key twice": (b"space:\n  lr: 1\n  lr: 2\n", "line 3: key 'lr' is given twice; keep one"),
    "a tab": (b"name: a\ndata:\n\ttrain: x\n", "line 3: a tab; YAML is indented with spaces"),
    "a bracket left open": (b"name: {a\n", "line 2: not YAML: expected ',' or '}'"),
    "a colon in a value": (b"name: a: b\n", "line 1: a ': ' inside a value"),
    "two documents": (b"name: a\n---\nname: b\n", "line 2: a second document"),
    "a list for a key": (b"? [a]\n: c\n", "line 1: a key must be text, not ['a']"),
    "a Python object": (b"name: !!python/object:os.system x\n", "line 1: not YAML: could not determine a constructor"),
    "a value that holds itself": (b"space: &x {lr: *x}\n", "an alias (*name) stands inside the value that it names"),
    "a control character": (b"name: \x00\n", "special characters are not allowed"),
}


@pytest.mark.parametrize(("content", "part"), YAML.values(), ids=YAML)
def test_yaml(project: Any, foldtune: Command, content: bytes, part: str) -> None:
    path = project.text(content)
    code, out, err = foldtune("validate", path)
    assert (code, out) == (2, "")
    assert part in err
    assert err.startswith(f"error: {path}")
    assert err.count("\n") == 1, err


SETS = {
    "no value": ("search.num_samples", "--set 'search.num_samples': write key.path=value"),
    "no key": ("=3", "--set '=3': write key.path=value"),
    "an empty part": ("search..seed=3", "--set 'search..seed=3': write key.path=value"),
    "an unknown key": ("search.num_sample=3", "search.num_sample: unknown key 'num_sample'; did you mean 'num"),
    "a wrong value": ("search.num_samples=abc", "search.num_samples: must be an integer >= 1 and <= 100000, not 'abc'"),
    "no YAML": ("search.num_samples=[", "--set search.num_samples=[, line 1: not YAML"),
    "keys below a value": ("name.x=3", "--set name.x: name holds the value 'tiny', not keys"),
    "an unknown branch": ("space.loss.choice.focl={gamma: 1}", "space.loss: unknown loss 'focl'"),
}


@pytest.mark.parametrize(("override", "part"), SETS.values(), ids=SETS)
def test_set(project: Any, foldtune: Command, override: str, part: str) -> None:
    code, out, err = foldtune("validate", project.config(), "--set", override)
    assert (code, out) == (2, "")
    assert part in err


def test_every_malformed_override_is_reported(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("validate", project.config(), "--set", "a", "--set", "b")
    assert code == 2
    assert "--set 'a'" in err
    assert "--set 'b'" in err


def test_no_configuration_names_the_one_that_was_meant(project: Any, foldtune: Command) -> None:
    path = Path(project.config())
    code, _, err = foldtune("validate", str(path.with_name("confg.yaml")))
    assert code == 2
    assert "No such file or directory; did you mean" in err
    assert str(path) in err
    assert foldtune("validate", str(path.parent))[2].rstrip().endswith("Is a directory")


def test_search_refuses_what_validate_refuses(project: Any, foldtune: Command) -> None:
    path = project.config({"search.metrc": "x", "space.dropp": 1})
    checked, searched = foldtune("validate", path), foldtune("search", path)
    assert searched == checked
    assert not (project.folder / "runs").exists()
