"""A run of each released version opens with one warning, votes again without training, and gets its digests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from foldtune.errors import InputError
from foldtune.results.records.identity import read_identity
from foldtune.results.runs.digests_file import read_digests
from foldtune.search.config.loading import load_config
from foldtune.search.ensemble.build import build_ensemble
from foldtune.search.ensemble.plan import EnsembleOptions, choose_finalists, plan_ensemble
from foldtune.search.ensemble.sources import open_source
from foldtune.search.runs.resuming import check_same
from foldtune.search.runs.run import Run, open_run
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork
from foldtune.search.workers.fold_model import status

STORED = Path(__file__).resolve().parents[2] / "stored_runs"


class Watch:
    """Nobody."""

    def on_outcome(self, outcome: FoldOutcome) -> None: ...

    def on_dropped(self, dropped: Sequence[Any]) -> None: ...


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run of version 0.2.0 with its data, elsewhere than where it was made."""
    home = tmp_path / "home"
    shutil.copytree(STORED / "v0_2_0", home)
    config = home / "runs/stored/config.yaml"
    config.write_text(config.read_text().replace("{FOLDER}", str(home)))
    monkeypatch.setenv("FOLDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(home)
    return home


def no_training(works: Mapping[str, tuple[FoldWork, Any]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
    for job in jobs:
        found = status(works[job.run][0], job)
        assert isinstance(found, FoldOutcome), f"{job} is {found}"
        yield found


def vote(run: Run) -> tuple[str, ...]:
    """Write the ensemble again; return the notes on its data."""
    source = open_source(run, 1, None)
    plan = plan_ensemble(run, EnsembleOptions())
    build_ensemble([source], plan, choose_finalists([run], plan), no_training, Watch())
    return source.notes


def test_it_votes_again_and_gets_its_digests(home: Path) -> None:
    run = open_run("stored", "runs")
    submission = run.store.ensemble.submission_path
    before = submission.read_bytes()
    assert read_identity(run.store.root) is None
    notes = vote(run)
    assert len(notes) == 1
    assert "no digests" in notes[0]
    assert submission.read_bytes() == before
    assert read_identity(run.store.root) is not None
    again = open_run("stored", "runs")
    assert vote(again) == ()
    assert submission.read_bytes() == before
    check_same(load_config(home / "stored.yaml"), again.config)


def test_from_then_on_its_data_are_known(home: Path) -> None:
    vote(open_run("stored", "runs"))
    run = open_run("stored", "runs")
    digests = read_digests(run.store)
    assert digests is not None
    assert set(digests["set"]) == {"train", "test"}
    first = home / "images" / digests["id"].iloc[0]
    shutil.copy(home / "images" / digests["id"].iloc[-1], first)
    with pytest.raises(InputError, match="images of 1 rows"):
        open_source(run, 1, None)


def test_its_labels_are_compared_with_those_of_its_trials(home: Path) -> None:
    run = open_run("stored", "runs")
    scores = run.store.trial("0000").read_scores()
    assert scores is not None
    name = str(scores.ids[0])
    table = home / "train.csv"
    other = {f"{name},c0": f"{name},c1", f"{name},c1": f"{name},c0"}
    lines = [other.get(line, line) for line in table.read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="labels of 1 rows"):
        open_source(run, 1, None)
    assert read_digests(run.store) is None


def test_data_that_moved_are_found_by_every_command_that_reads_them(home: Path, foldtune: Any) -> None:
    """Nothing is left to train, so that no command starts Ray."""
    vote(open_run("stored", "runs"))
    moved = home / "disk"
    moved.mkdir()
    for name in ("images", "train.csv", "test.csv"):
        shutil.move(home / name, moved / name)
    code, _, err = foldtune("ensemble", "stored")
    assert code == 2
    assert "--data ROOT" in " ".join(err.split())
    sweep = ("thresholds", "stored", "--ensemble", "--grid", "prior_power=0,1", "--submissions", "sweep")
    code, _, err = foldtune(*sweep, "--data", "disk")
    assert (code, "not known" in err) == (0, False)
    assert foldtune("compare", "stored", "stored/ensemble", "--data", "disk")[0] == 0
    assert foldtune("ensemble", "stored", "--data", "disk", "-o", "submission.csv")[0] == 0
    assert (home / "submission.csv").read_bytes() == (home / "runs/stored/ensemble/submission.csv").read_bytes()
    code, out, _ = foldtune("search", "stored.yaml", "--resume", "--data", "disk")
    assert code == 0
    assert out.splitlines()[-1].startswith("best trial: 000")
    assert foldtune("ensemble", "stored")[0] == 0, "the resumed run keeps where its data lie"

    train = [line.partition(",")[0] for line in (moved / "train.csv").read_text().split()[1:]]
    shutil.copy(moved / "images" / train[-1], moved / "images" / train[0])
    code, _, err = foldtune("ensemble", "stored")
    assert code == 2
    assert "images of 1 rows" in " ".join(err.split())
