"""What a new run takes over from earlier ones, and when their values compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from foldtune.results.records.proposals_file import read_proposals
from foldtune.results.records.trials import EpochRow
from foldtune.search.cli.handlers.search.earlier import Earlier
from foldtune.search.runs.run import Run, new_store, open_run, start_run
from foldtune.search.runs.validation import check_file

LOSSES = {"choice": {"cross_entropy": None, "focal": {"gamma": {"uniform": [0.0, 3.0]}}}}
SPACE = {"space.lr": {"loguniform": [1e-3, 1e-1]}, "space.loss": LOSSES, "space.pretrained": False}
VALUES = (0.5, 0.8, 0.7, 0.9, 0.6)


def started(project: Any, changes: Mapping[str, Any], *earlier: str) -> Run:
    checked = check_file(project.folder / project.config(changes))
    source = Earlier(earlier, project.folder / "runs")
    with new_store(checked.config) as store:
        return start_run(checked, store, 1, None, lambda run, labelled: source.take_over(None, run, labelled))[0]


def params(number: int) -> dict[str, Any]:
    loss = {"loss": "focal", "loss.focal.gamma": number / 2} if number % 2 else {"loss": "cross_entropy"}
    return {"lr": (number + 1) / 100, **loss}


@pytest.fixture
def old(project: Any) -> Run:
    """A run of five trials, of which the best was stopped."""
    run = started(project, {"name": "old", **SPACE})
    for number, value in enumerate(VALUES):
        trial = run.store.trial(f"{number:04d}")
        resolved = {"amp": "bf16", "channels_last": True} if number % 2 else {}
        trial.write_config(number, params(number), {**run.space.build(params(number)), **resolved})
        trial.append_epoch(EpochRow(1, {"macro_f1": value}, 1, {"macro_f1": value}, 1.0, 100.0, 1e-3, 64, 0.4))
        trial.finish("PRUNED" if number == 3 else "COMPLETE")
    return run


def test_the_best_come_after_the_default_and_every_trial_with_its_value(
    project: Any, old: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run = started(project, {"name": "new", **SPACE}, "old")
    lines = capsys.readouterr().err.splitlines()
    stored = read_proposals(run.store.root)
    assert stored.first == [run.space.default(), params(1), params(2), params(4)]
    assert [(each.params, each.value) for each in stored.known] == [(params(n), v) for n, v in enumerate(VALUES)]
    assert [each.status for each in stored.known] == ["COMPLETE"] * 3 + ["PRUNED", "COMPLETE"]
    assert lines == [
        "from run old: its best configurations come after the default (trials 0001, 0002, 0004)",
        "from run old: the values of 5 trials for TPE",
    ]


def test_what_does_not_fit_is_left_out_by_name(project: Any, old: Run, capsys: pytest.CaptureFixture[str]) -> None:
    space = {
        "space.lr": {"loguniform": [1e-3, 4e-2]},
        "space.loss": "cross_entropy",
        "space.drop_rate": {"uniform": [0, 0.2]},
    }
    run = started(project, {"name": "new", "space.pretrained": False, **space}, "old")
    stored, default = read_proposals(run.store.root), run.space.default()
    assert stored.first == [default, {**default, "lr": 0.02}, {**default, "lr": 0.03}], "0.05 takes the default"
    left_out = capsys.readouterr().err.splitlines()[1]
    assert left_out == (
        "from run old, left out: loss (focal, here cross_entropy), loss.focal.gamma (not in this space), "
        "lr (0.05 is outside 0.001 to 0.04)"
    )
    assert [each.params["lr"] for each in stored.known] == [], "none had this dropout"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"search.max_epochs": 2}, "epochs 1"),
        ({"search.metric": "accuracy"}, "metric macro_f1"),
        ({"search.seed": 1}, "rows, labels, images or folds"),
        ({"data.image_size": 24}, "image sizes or preparation"),
    ],
)
def test_values_of_another_search_are_not_compared(
    project: Any, old: Run, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], reason: str
) -> None:
    run = started(project, {"name": "new", **SPACE, **changes}, "old")
    stored = read_proposals(run.store.root)
    assert stored.known == []
    assert len(stored.first) == 4
    assert capsys.readouterr().err.splitlines()[-1] == f"from run old: no values for TPE, which differ by {reason}"


@pytest.mark.slow
def test_trials_with_other_constants_are_not_compared(project: Any, old: Run) -> None:
    run = started(project, {"name": "new", **SPACE, "space.batch_size": 8}, "old")
    assert read_proposals(run.store.root).known == []


@pytest.mark.slow
def test_a_run_without_trials_gives_nothing_and_without_from_nothing_is_stored(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = started(project, {"name": "bare", **SPACE})
    assert not (bare.store.root / "proposals.json").exists()
    run = started(project, {"name": "new", **SPACE}, "bare")
    assert read_proposals(run.store.root).first == [run.space.default()]
    assert capsys.readouterr().err == "from run bare: nothing, since no trial of it has finished\n"


def test_what_cannot_be_taken_over_is_refused_before_anything_is_written(
    project: Any, old: Run, foldtune: Callable[..., Any]
) -> None:
    config = project.config({"name": "new", **SPACE, "space.loss": "cross_entropy"})
    grid = ["--set", "search.algorithm=grid", "--set", "space.lr={choice: [0.01, 0.1]}"]
    for arguments, problem in (
        (["--from", "olt"], "no run 'olt'; did you mean 'old'?"),
        (["--from", "old", "--resume"], "it is for a new run: what one takes over is stored in it"),
        (["--from", "old", *grid], "search.algorithm: grid has all"),
    ):
        code, _, err = foldtune("search", config, *arguments)
        assert code == 2
        assert problem in " ".join(err.replace("│", " ").split())
        assert not (project.folder / "runs/new").exists()


@pytest.mark.slow
def test_the_earlier_run_may_be_gone_afterwards(project: Any, old: Run) -> None:
    started(project, {"name": "new", **SPACE}, "old")
    old.store.root.rename(project.folder / "gone")
    assert len(read_proposals(open_run("new", "runs").store.root).known) == 5
