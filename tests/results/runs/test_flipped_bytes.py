"""A flipped byte in a small stored file is found: what is read back is what was written, or a damaged file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from foldtune.errors import RunCorrupt, RunNewer
from foldtune.results.records.identity import RunIdentity, write_identity
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore

FLIPS = 60
CONFIG = {"name": "skin", "search": {"metric": "accuracy", "num_samples": 12}, "space": {"lr": 0.125}}


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path / "skin")
    write_identity(store.root, RunIdentity("0123"))
    store.write_task({"task": "multiclass", "classes": ["a", "b"], "counts": [12, 30]})
    store.write_goal(Goal("accuracy", "max"))
    store.write_config(CONFIG)
    trial = store.trial("0000")
    trial.write_config(0, {"lr": 0.125}, {"lr": 0.125, "model_name": "resnet"})
    for epoch in (1, 2):
        metrics = {"accuracy": epoch / 4}
        trial.append_epoch(EpochRow(epoch, metrics, epoch, metrics, 1.5, 100.0, 1e-3, 64, 0.4))
    trial.write_scores(np.array(["x", "y"]), np.eye(2, dtype=np.float32), np.array([0, 1]), 2)
    trial.finish("COMPLETE")
    store.ensemble.member("0000", 1).finish({"value": 0.875, "reused": False})
    store.ensemble.write({"weights": [0.25, 0.75], "members": []})
    return store


def flipped(path: Path) -> Iterator[None]:
    """Yield with one byte of the file changed, at drawn places; the file is whole again afterwards."""
    whole, draws = path.read_bytes(), random.Random(0)
    for _ in range(FLIPS):
        raw = bytearray(whole)
        raw[draws.randrange(len(raw))] ^= 1 << draws.randrange(8)
        path.write_bytes(raw)
        yield
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("task.json", lambda run: run.read_task()),
        ("goal.json", lambda run: run.read_goal()),
        ("config.yaml", lambda run: run.read_config()),
        ("trials/0000/config.json", lambda run: run.trial("0000").record()),
        ("trials/0000/metrics.jsonl", lambda run: run.trial("0000").record()),
        ("trials/0000/trial.json", lambda run: run.trial("0000").record()),
        ("ensemble/members/0000/fold_1/done.json", lambda run: run.ensemble.member("0000", 1).result()),
        ("ensemble/ensemble.json", lambda run: run.ensemble.read()),
    ],
)
def test_a_flipped_byte_is_found(run: RunStore, path: str, read: Callable[[RunStore], object]) -> None:
    whole, found = read(run), 0
    for _ in flipped(run.root / path):
        try:
            now = read(run)
        except (RunCorrupt, RunNewer):
            found += 1
            continue
        if isinstance(now, dict) and isinstance(whole, dict):  # the byte may be one of the sum's own name
            now = {key: value for key, value in now.items() if key in whole}
        assert now == whole
    assert found > FLIPS * 0.9
    assert read(run) == whole


def test_a_flipped_byte_in_scores_is_found(run: RunStore) -> None:
    trial = run.trial("0000")
    whole = trial.read_scores()
    assert whole is not None
    for _ in flipped(trial.scores_path):
        try:
            scores = trial.read_scores()
        except RunCorrupt:
            continue
        assert scores is not None
        np.testing.assert_array_equal(scores.logits, whole.logits)
        assert (scores.ids.tolist(), scores.epoch) == (whole.ids.tolist(), whole.epoch)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_half_a_configuration_is_none(run: RunStore, part: float) -> None:
    lines = run.config_path.read_text().splitlines(keepends=True)
    run.config_path.write_text("".join(lines[: max(1, int(len(lines) * part))]))
    with pytest.raises(RunCorrupt, match=r"not whole|sum"):
        run.read_config()


def test_epochs_that_are_lost_as_whole_lines_are_missed(run: RunStore) -> None:
    trial = run.trial("0000")
    trial.metrics_path.write_bytes(trial.metrics_path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(RunCorrupt, match="1 of 2 epochs"):
        trial.record()


def test_what_a_version_without_sums_wrote_is_read(run: RunStore) -> None:
    (run.root / "run.json").unlink()
    run.config_path.write_text("name: skin\nsearch: {metric: accuracy}\n")
    assert run.read_config() == {"name": "skin", "search": {"metric": "accuracy"}}
    run.goal_path.write_text('{"metric": "accuracy", "mode": "max"}')
    assert run.read_goal() == Goal("accuracy", "max")


def test_the_sums_of_a_later_format_are_left_to_it(run: RunStore) -> None:
    path = run.ensemble.json_path
    path.write_text(path.read_text().replace("{", '{"format": 99,', 1))
    with pytest.raises(RunNewer, match="format 99"):
        run.ensemble.read()
