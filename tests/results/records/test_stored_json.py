"""What is read back is checked whole: each message names the file and the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest

from foldtune.errors import RunCorrupt
from foldtune.results.records.stored_json import Voting
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.store import RunStore
from foldtune.search.voting.combiner import METHODS

STORED = Path(__file__).resolve().parents[2] / "stored_runs/v0_1_0/runs/stored"
Change = Callable[[dict[str, Any]], object]


def put(*path: str | int, value: Any) -> Change:
    def change(values: dict[str, Any]) -> None:
        node: Any = values
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


@pytest.fixture
def ensemble(tmp_path: Path) -> Callable[[Change], EnsembleDir]:
    """ensemble(change) -> the ensemble of a released version, with a change of its JSON."""
    description = json.loads((STORED / "ensemble/ensemble.json").read_text())

    def changed(change: Change) -> EnsembleDir:
        values = deepcopy(description)
        change(values)
        directory = EnsembleDir(tmp_path / "ensemble")
        directory.root.mkdir(exist_ok=True)
        directory.json_path.write_text(json.dumps(values))
        return directory

    return changed


def test_the_form_of_a_released_version_is_accepted(ensemble: Callable[[Change], EnsembleDir]) -> None:
    directory = ensemble(lambda values: None)
    assert directory.read() == json.loads(directory.json_path.read_text())
    assert get_args(Voting) == METHODS


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("voting", value="sofd"), "voting: must be 'soft', 'hard'"),
        (put("members", 0, "fold_offsets", 1, value=float("nan")), "members.0.fold_offsets.1"),
        (put("members", 0, "fold_offsets", value=[0.0]), "members.0.fold_offsets: 1 of 2 folds"),
        (put("members", 0, "seed_offsets", value=[[0.0, 0.0]]), "members.0.seed_offsets: 1 of 0 further seeds"),
        (put("seeds", value=2), "members.0.seed_offsets: 0 of 1 further seeds"),
        (put("seeds", value=0), "seeds"),
        (put("refit", value="some"), "refit"),
        (put("members", 1, "id", value="../../etc"), "members.1.id"),
        (put("members", 1, "id", value="0001"), "members: one is there twice"),
        (put("members", value="0001"), "members"),
        (put("weights", value=[0.5]), "weights: 1 of 2 members"),
        (put("weights", 0, value=-1), "weights.0: must be greater than or equal to 0"),
        (put("weights", 0, value=True), "weights"),
        (put("weights", 0, value=7.0), "weights: sum to 7.5"),
        (put("folds", value="2"), "folds: must be a valid integer"),
        (put("folds", value=10**9), "folds"),
        (put("image_size", value=[10**6, 10**6]), "image_size.0: must be less than or equal to 4096"),
        (put("members", 0, "image_size", value=[32]), "members.0.image_size"),
        (put("resize", value="stretch"), "resize: must be 'squash', 'crop' or 'pad'"),
        (put("min_votes", value=9), "min_votes: 9 votes of 2 members"),
        (put("task", "labels", value="abcd"), "task.labels: must be a valid list"),
        (put("task", "labels", value=["2", "2", "6", "7"]), "task: labels: one is there twice"),
        (put("task", "counts", 0, value=-1), "task.counts.0"),
        (put("estimate", "accuracy", value=float("inf")), "estimate.accuracy: must be a finite number"),
        (put("estimate", "accuracy", value="0.9"), "estimate.accuracy: must be a valid number"),
        (put("postprocess", "offsets", "2", value=float("nan")), "postprocess: holds a number that is not finite"),
        (put("per_class", value=[{"precision": 1}]), "per_class.0.label"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(
    ensemble: Callable[[Change], EnsembleDir], change: Change, field: str
) -> None:
    with pytest.raises(RunCorrupt, match=rf"ensemble\.json: {re.escape(field)}"):
        ensemble(change).read()


@pytest.mark.parametrize(
    ("file", "content", "field"),
    [
        ("config.json", {"trial_id": "../x", "number": 0, "params": {}, "config": {}}, "trial_id"),
        ("config.json", {"trial_id": "0001", "number": 0, "params": {}, "config": {}}, "trial_id: is '0001'"),
        ("config.json", {"trial_id": "0000", "number": "0", "params": {}, "config": {}}, "number"),
        ("config.json", {"trial_id": "0000", "number": 0, "params": [], "config": {}}, "params"),
        ("trial.json", {"status": "DONE"}, "status: must be 'COMPLETE'"),
        ("trial.json", {"status": "FAIL", "error": 7}, "error"),
    ],
)
def test_a_trial_with_a_wrong_value_is_listed_with_the_reason(
    tmp_path: Path, file: str, content: dict[str, Any], field: str
) -> None:
    store = RunStore.create(tmp_path, "skin")
    store.trial("0000").write_config(0, {}, {})
    (store.trials_root / "0000" / file).write_text(json.dumps(content))
    (record,) = store.trials()
    assert record.status == "FAIL"
    assert f"{file}: {field}" in str(record.error)


def test_links_out_of_a_run_are_not_followed(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "runs", "skin")
    outside = RunStore.create(tmp_path / "elsewhere", "skin").trial("0000")
    outside.write_config(0, {}, {})
    outside.finish("COMPLETE")
    outside.weights_path.write_bytes(b"weights")
    store.trials_root.mkdir()
    (store.trials_root / "0000").symlink_to(outside.root)
    store.prune_weights([])
    assert outside.weights_path.exists(), "nothing is removed behind a link"
    with pytest.raises(RunCorrupt, match="leads out of"):
        store.trial("0000")
    ensemble = EnsembleDir(tmp_path / "ensemble")
    ensemble.root.mkdir()
    ensemble.json_path.symlink_to(outside.config_path)
    with pytest.raises(RunCorrupt, match="leads out of"):
        ensemble.read()
