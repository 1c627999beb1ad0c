"""The Optuna study of a run: proposals, recorded ends, and the state after a crash."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from foldtune.errors import InputError, RunCorrupt, RunExists
from foldtune.results.storage.paths import as_path
from foldtune.search.tuning.sampler import make_sampler
from foldtune.search.tuning.study import (
    StoredTrial,
    ensure_default,
    open_study,
    reconcile,
    record_end,
    report,
    require_free_study,
)
from foldtune.spaces import Space

SPACE = Space.parse(
    {
        "lr": {"loguniform": [1e-5, 1e-1]},
        "loss": {"choice": {"cross_entropy": {"label_smoothing": {"uniform": [0.0, 0.2]}}, "focal": None}},
        "model_name": "resnet10t",
    }
)


def study_at(folder: Path, *, resume: bool = True, url: str | None = None) -> optuna.Study:
    return open_study("skin", folder / "study.journal", url=url, mode="max", resume=resume)


def ask(study: optuna.Study, index: int, seed: int = 0) -> tuple[int, dict[str, Any]]:
    study.sampler = make_sampler(seed, index, startup_trials=3)
    trial = study.ask()
    return trial.number, SPACE.suggest(trial)


def ended(number: int, status: str, values: dict[int, float], params: dict[str, Any] | None = None) -> StoredTrial:
    return StoredTrial(number, status, params or SPACE.default(), values, max(values.values(), default=None))


@pytest.mark.parametrize(
    ("status", "values", "state", "value"),
    [
        ("COMPLETE", {1: 0.4, 2: 0.6}, TrialState.COMPLETE, 0.6),
        ("PRUNED", {1: 0.4, 2: 0.6}, TrialState.PRUNED, 0.6),
        ("PRUNED", {}, TrialState.PRUNED, None),
        ("FAIL", {1: 0.4}, TrialState.FAIL, None),
        ("COMPLETE", {1: math.nan}, TrialState.FAIL, None),
        ("COMPLETE", {1: math.inf}, TrialState.FAIL, None),
    ],
)
def test_an_end_is_recorded_with_its_intermediate_values(
    tmp_path: Path, status: str, values: dict[int, float], state: TrialState, value: float | None
) -> None:
    study = study_at(tmp_path)
    number, _ = ask(study, 0)
    record_end(study, ended(number, status, values))
    (trial,) = study_at(tmp_path).trials
    assert trial.state == state
    assert trial.value == value
    assert trial.intermediate_values == {epoch: v for epoch, v in values.items() if math.isfinite(v)}


def test_a_stopped_trial_is_not_the_best_one(tmp_path: Path) -> None:
    study = study_at(tmp_path)
    for number, status in enumerate(["PRUNED", "COMPLETE"]):
        ask(study, number)
        record_end(study, ended(number, status, {1: 0.9 if status == "PRUNED" else 0.5}))
    assert study.best_trial.number == 1


def test_an_end_is_recorded_once(tmp_path: Path) -> None:
    study = study_at(tmp_path)
    ask(study, 0)
    record_end(study, ended(0, "COMPLETE", {1: 0.5}))
    record_end(study, ended(0, "FAIL", {}))
    assert study.trials[0].state == TrialState.COMPLETE


def test_a_repeated_epoch_is_overwritten_and_nan_left_out(tmp_path: Path) -> None:
    study = study_at(tmp_path)
    ask(study, 0)
    for value in (0.4, 0.5, math.nan):
        report(study, 0, 1, value)
    assert study_at(tmp_path).trials[0].intermediate_values == {1: 0.5}


def test_the_default_configuration_is_proposed_first(tmp_path: Path) -> None:
    study = study_at(tmp_path)
    ensure_default(study, SPACE.default())
    ensure_default(study, SPACE.default())
    assert ask(study, 0)[1] == SPACE.default()
    assert ask(study, 1)[1] != SPACE.default()


def search(folder: Path, seed: int, restarts: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """What one worker is proposed in 10 trials; the driver starts anew before some of them."""
    folder.mkdir()
    study, proposed = study_at(folder), []
    for index in range(10):
        if index in restarts:
            study = study_at(folder)
        number, params = ask(study, index, seed)
        proposed.append(params)
        value = -abs(math.log10(params["lr"]) + 3)
        record_end(study, ended(number, "PRUNED" if index % 3 else "COMPLETE", {1: value - 1, 2: value}, params))
    return proposed


def test_the_same_seed_proposes_the_same_configurations_restarted_or_not(tmp_path: Path) -> None:
    through = search(tmp_path / "a", seed=3)
    assert search(tmp_path / "b", seed=3) == through
    assert search(tmp_path / "c", seed=3, restarts=(1, 2, 6)) == through
    assert search(tmp_path / "d", seed=4) != through
    assert len({params["lr"] for params in through}) == 10, "a restart does not draw again what was drawn"


def test_every_crash_point_is_brought_in_line(tmp_path: Path) -> None:
    """0 recorded; 1 ended on disk, not recorded; 2 stored, unfinished; 3 proposed, never stored; 4 waiting."""
    study = study_at(tmp_path)
    params = [ask(study, number)[1] for number in range(4)]
    report(study, 1, 1, 0.3)
    record_end(study, ended(0, "COMPLETE", {1: 0.5}, params[0]))
    study.enqueue_trial(SPACE.default())
    stored = [
        ended(0, "COMPLETE", {1: 0.5}, params[0]),
        ended(1, "PRUNED", {1: 0.3, 2: 0.4}, params[1]),
        ended(2, "RUNNING", {1: 0.2}, params[2]),
    ]
    for _ in range(2):  # once more changes nothing
        again = study_at(tmp_path)
        reconcile(again, stored, SPACE.distributions())
        states = [trial.state.name for trial in again.trials]
        assert states == ["COMPLETE", "PRUNED", "RUNNING", "FAIL", "WAITING"]
        assert again.trials[1].intermediate_values == {1: 0.3, 2: 0.4}
    assert ask(again, 3)[1] == SPACE.default()


def test_a_study_that_is_gone_is_made_again_from_the_store(tmp_path: Path) -> None:
    params = [SPACE.default() | {"lr": 10.0**-power} for power in range(1, 5)]
    focal = {"lr": 0.01, "loss": "focal"}
    stored = [
        ended(0, "COMPLETE", {1: 0.5, 2: 0.6}, params[0]),
        ended(2, "PRUNED", {1: 0.3}, focal),
        ended(3, "RUNNING", {1: 0.2}, params[3]),
        ended(-1, "FAIL", {}, {}),  # a trial whose files are damaged
    ]
    study = study_at(tmp_path)
    reconcile(study, stored, SPACE.distributions())
    trials = study_at(tmp_path).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "PRUNED", "RUNNING"]
    assert [trials[n].params for n in (0, 2, 3)] == [params[0], focal, params[3]]
    assert trials[0].value == 0.6
    assert trials[2].intermediate_values == {1: 0.3}
    assert ask(study, 3)[0] == 4, "no stored number is proposed again"


def test_without_a_file_the_study_is_made_again_with_the_same_proposals(tmp_path: Path) -> None:
    kept, stored = study_at(tmp_path), list[StoredTrial]()
    for index in range(8):
        # What a driver that starts on an object store makes of the run's stored trials.
        again = open_study("skin", as_path("memory://runs/skin/study.journal"), url=None, mode="max", resume=index > 0)
        reconcile(again, stored, SPACE.distributions())
        number, params = ask(kept, index)
        assert ask(again, index) == (number, params)
        values = {1: params["lr"], 2: 2 * params["lr"]}
        stored.append(ended(number, "PRUNED" if index % 3 == 1 else "COMPLETE", values, params))
        record_end(kept, stored[-1])
        report(again, number, 1, 0.5)
    assert len({str(outcome.params) for outcome in stored}) == 8


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(InputError, match=r"study_storage: cannot use 'postgresql://127\.0\.0\.1/optuna'") as caught:
        study_at(Path(), url="postgresql://me:secret@127.0.0.1:1/optuna")
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_torn_line_of_a_killed_driver_is_dropped(tmp_path: Path) -> None:
    study = study_at(tmp_path)
    ask(study, 0)
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[:17])
    study = study_at(tmp_path)
    assert journal.read_bytes()[: len(whole)] == whole
    assert ask(study, 1)[0] == 1
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
    assert len(study_at(tmp_path).trials) == 2


def test_a_damaged_journal_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    ask(study_at(tmp_path), 0)
    journal = tmp_path / "study.journal"
    journal.write_bytes(b"{torn\n" + journal.read_bytes())
    with pytest.raises(RunCorrupt, match="move it away and resume"):
        study_at(tmp_path)


def test_the_lock_of_a_killed_driver_is_broken_under_a_relative_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("foldtune.search.tuning.study.LOCK_GRACE_S", 1)
    study_at(Path())
    (tmp_path / "study.journal.lock").symlink_to(tmp_path / "study.journal")
    assert ask(study_at(Path()), 0)[0] == 0
    assert not (tmp_path / "study.journal.lock").is_symlink()
    lock = study_at(Path())._storage._backend._lock  # type: ignore[attr-defined]
    assert Path(lock._lock_target_file).is_absolute()


def test_a_new_run_does_not_join_the_study_of_another_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    study_at(tmp_path, resume=False, url=url)
    with pytest.raises(RunExists, match="--name"):
        study_at(tmp_path, resume=False, url=url)
    assert study_at(tmp_path, resume=True, url=url).study_name == "skin"


def test_a_study_belongs_to_one_run(tmp_path: Path) -> None:
    """Two runs of one name in different storages have one database."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    shared = {"journal": Path("unused"), "url": url, "mode": "max"}
    first = open_study("skin", **shared, resume=False, run_id="first")  # type: ignore[arg-type]
    number, _ = ask(first, 0)
    for resume in (False, True):
        with pytest.raises(RunExists, match=r"another run.*--name"):
            open_study("skin", **shared, resume=resume, run_id="second")  # type: ignore[arg-type]
    with pytest.raises(RunExists, match="another run"):
        require_free_study("skin", url)
    require_free_study("other", url)
    for stranger in (None, "second"):
        with pytest.raises(RunExists):
            reconcile(study_at(tmp_path, url=url), [], {}, stranger)
    assert first.get_trials(deepcopy=False)[number].state == TrialState.RUNNING
    again = open_study("skin", **shared, resume=True, run_id="first")  # type: ignore[arg-type]
    reconcile(again, [], {}, "first")
    assert first.get_trials(deepcopy=False)[number].state == TrialState.FAIL


def test_a_study_of_before_belongs_to_the_run_that_resumes_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    optuna.create_study(study_name="skin", storage=url, direction="maximize")
    open_study("skin", Path("unused"), url=url, mode="max", resume=True, run_id="first")
    with pytest.raises(RunExists):
        open_study("skin", Path("unused"), url=url, mode="max", resume=True, run_id="second")


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////no/such/folder/study.db", "postgresql://localhost:1/none"])
def test_a_storage_that_cannot_be_used_is_wrong_input(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match=r"search\.study_storage"):
        study_at(tmp_path, url=url)


def test_a_value_is_reported_by_the_number_of_a_trial_of_another_process(tmp_path: Path) -> None:
    study = study_at(tmp_path)
    number, _ = ask(study, 0)
    report(study_at(tmp_path), number, 1, 0.25)
    assert study_at(tmp_path).trials[number].intermediate_values == {1: 0.25}
