"""The study's file: what Optuna itself reads from it, and what another writer adds."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from foldtune.search.tuning.study import RunJournal

optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_another_process_reads_each_step_at_once_and_may_write_too(tmp_path: Path) -> None:
    path = str(tmp_path / "study.journal")
    ours = optuna.create_study(study_name="skin", storage=JournalStorage(RunJournal(path)), direction="maximize")
    stock = optuna.load_study(study_name="skin", storage=JournalStorage(JournalFileBackend(path)))
    for number in range(3):
        trial = ours.ask()
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        trial.report(0.5, 1)
        (*_, seen) = stock.trials
        assert (seen.number, seen.state, seen.params) == (number, TrialState.RUNNING, trial.params)
        assert seen.intermediate_values == {1: 0.5}
        stock.set_user_attr("note", f"looked at {number}")
        ours.tell(trial, 0.5 + number / 10)
    assert ours.user_attrs == {"note": "looked at 2"}
    assert [trial.value for trial in stock.trials] == [0.5, 0.6, 0.7]
    assert Path(path).read_bytes().endswith(b"\n")
