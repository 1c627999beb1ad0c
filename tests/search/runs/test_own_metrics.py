"""`search.metric: FILE.py:FUNCTION` and `search.costs` from the configuration to the stored run, and who may run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foldtune.errors import InputError, MetricUntrusted
from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore
from foldtune.search.cli.handlers.search.search import SearchRequest, remote_search
from foldtune.search.config.packaging import pack_job
from foldtune.search.ensemble.plan import EnsembleOptions, plan_ensemble
from foldtune.search.runs.resuming import check_same, check_same_metrics
from foldtune.search.runs.run import Run, new_store, open_run, start_run
from foldtune.search.runs.trusted_metrics import own_function, trusting_metrics
from foldtune.search.runs.validation import Checked, check_file
from foldtune.trainers.user_metrics.function import digest_of
from tests.search.conftest import Project

Command = Callable[..., tuple[int, str, str]]
COSTS = [[0, 1, 1], [2, 0, 1], [9, 1, 0]]
OWN = {"search.metric": "metrics.py:hits"}
HITS = "import numpy as np\n\n\ndef hits(targets, predictions):\n    return float(np.mean(targets == predictions))\n"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def checked(project: Project, changes: dict[str, Any]) -> Checked:
    return check_file(Path(project.config(changes)))


def started(project: Project, changes: dict[str, Any]) -> RunStore:
    given = checked(project, {"storage": str(project.folder / "runs"), **changes})
    with new_store(given.config) as store:
        start_run(given, store, 1, None)
    return store


def forget(project: Project) -> None:
    """As another user, or another machine, has it."""
    (project.folder / "state" / "foldtune" / "metrics").unlink()


def opened(project: Project) -> Run:
    return open_run("tiny", project.folder / "runs")


def test_costs_are_what_is_optimised_where_no_metric_is_named(project: Project) -> None:
    given = checked(project, {"search.costs": COSTS, "search.metric": None})
    assert (given.goal.metric, given.goal.mode) == ("cost", "min")
    assert any("a row a true class, a column a predicted one, in the order c0, c1, c2" in each for each in given.notes)
    assert checked(project, {"search.costs": COSTS}).goal.metric == "macro_f1"
    assert "cost" in checked(project, {"search.costs": COSTS}).task.metrics


def test_a_mistake_that_costs_less_than_the_truth_is_a_line(project: Project) -> None:
    notes = checked(project, {"search.costs": [[0, 1, 1], [-1, 0, 1], [1, 1, 0]]}).notes
    assert any("another class costs less than the true one, of c1" in each for each in notes)


@pytest.mark.parametrize("form", ["named", "plain", "semicolons"])
def test_costs_of_a_csv_are_in_the_order_of_its_labels(project: Project, form: str) -> None:
    order = {"named": "210", "plain": "012", "semicolons": "120"}[form]
    rows = [[COSTS[int(i)][int(j)] for j in order] for i in order]
    lines = [",".join(map(str, row)) for row in rows]
    if form != "plain":
        names = [f"c{i}" for i in order]
        lines = [",".join(["true", *names]), *(f"{name},{line}" for name, line in zip(names, lines, strict=True))]
    text = "\n".join(lines) + "\n"
    (project.folder / "costs.csv").write_text(text.replace(",", ";") if form == "semicolons" else text)
    task = checked(project, {"search.costs": "costs.csv", "search.metric": "cost"}).task
    right, wrong = np.array([2, 1]), np.array([0, 0])
    assert task.metric_value("cost", np.ones((2, 3)), wrong, right) == (9 + 2) / 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("true,c0,c1\nc0,0,1\nc1,1,0\n", ["its columns lack c2", "its rows lack c2"]),
        ("true,c0,c1,C2\nc0,0,1,1\nc1,1,0,1\nc2,1,1,0\n", ["its columns lack c2; unknown class", "did you mean 'c2'"]),
        ("true,c0,c1,c2\nc0,0,1,1\nc1,1,0,1\n,1,1,0\n", ["its rows lack c2; unknown class in its rows: ''"]),
        ("true,c0,c1,c2\nc0,0,1,1\nc1,1,0,1\nc1,1,1,0\n", ["its rows lack c2; its rows have c1 more than once"]),
        ("true,c0,c1,c1\nc0,0,1,1\nc1,1,0,1\nc2,1,1,0\n", ["its columns have c1 more than once"]),
        ("0,1\n5,0\n", ["2 rows of 2; the task multiclass needs 3 rows of 3 numbers"]),
    ],
)
def test_a_table_of_costs_that_lacks_a_class_names_it(
    project: Project, foldtune: Command, text: str, words: list[str]
) -> None:
    (project.folder / "costs.csv").write_text(text)
    code, _, err = foldtune("validate", project.config({"search.costs": "costs.csv"}))
    assert code == 2
    assert all(each in " ".join(err.split()) for each in words), err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"search.costs": [[0, 0, 0]] * 3, "search.metric": "cost"},
            "search.costs: each class costs the same whatever",
        ),
        ({"search.costs": [[0, 1], [5, 0]]}, "search.costs: the matrix: 2 rows of 2; the task multiclass needs 3 rows"),
        ({"search.costs": [[0, "a"]]}, "search.costs: must be rows of numbers, as [[0, 1], [5, 0]], or a CSV"),
        ({"search.costs": 5}, "search.costs: must be rows of numbers"),
        ({"search.costs": "none.csv"}, "none.csv"),
        ({"search.costs": "other.csv"}, "its columns lack c0, c1, c2; unknown class in its columns: 'label'"),
        ({"search.metric": "cost"}, "search.metric: cost needs a matrix: give search.costs"),
        ({"search.metric": "metrics.py"}, "search.metric: a metric of your own is written FILE.py:FUNCTION"),
        ({"search.metric": "metric.py:hits"}, "did you mean 'metrics.py'"),
        ({"search.metric": "metrics.py:hit"}, "unknown function of metrics.py: 'hit'; did you mean 'hits'"),
        ({"search.metric": "broken.py:hits"}, "search.metric: broken.py, line 2: ZeroDivisionError"),
        ({"search.metric": "fails.py:hits"}, "search.metric: fails.py:hits, line 2: ValueError: mine"),
        ({"search.metric": "nan.py:hits"}, "search.metric: hits returned nan on the 12 rows of fold 0"),
        ({"search.metric": "taken.py:accuracy"}, "accuracy is a metric of the task multiclass"),
    ],
)
def test_what_is_wrong_is_one_line_of_the_command(
    project: Project, foldtune: Command, changes: dict[str, Any], words: str
) -> None:
    project.table(project.rows)
    texts = {
        "metrics.py": HITS,
        "broken.py": "x = 0\n1 / x\n",
        "fails.py": "def hits(targets, scores):\n    raise ValueError('mine')\n",
        "nan.py": "def hits(targets, scores):\n    return float('nan')\n",
        "taken.py": "def accuracy(targets, scores):\n    return 1.0\n",
    }
    for name, text in texts.items():
        (project.folder / name).write_text(text)
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert words in " ".join(err.split())


def test_other_problems_are_found_beside_a_wrong_metric(project: Project, foldtune: Command) -> None:
    changes = {"search.metric": "none.py:hits", "space.lr": {"loguniform": [1, -1]}}
    _, _, err = foldtune("validate", project.config(changes))
    assert "search.metric" in err
    assert "space.lr" in err


def test_a_run_keeps_its_metric_and_its_user_runs_it_again(project: Project) -> None:
    (project.folder / "metrics.py").write_text(HITS)
    store = started(project, OWN)
    (project.folder / "metrics.py").unlink()
    run = opened(project)
    assert store.metric_path.read_text() == HITS
    assert run.goal.metric == run.config.search.metric == "hits"
    assert run.task.metric_value("hits", np.ones((2, 3)), np.array([0, 1]), np.array([0, 0])) == 0.5
    assert plan_ensemble(run, EnsembleOptions()).voting == "soft"


def test_another_user_runs_it_only_where_the_command_trusts_it(project: Project, foldtune: Command) -> None:
    (project.folder / "metrics.py").write_text(f"open({str(project.folder / 'ran')!r}, 'a').close()\n{HITS}")
    store = started(project, OWN)
    project.stored_trial(store, 0, 0.5)
    forget(project)
    (project.folder / "ran").unlink()
    assert own_function(opened(project).task).source is None
    with pytest.raises(MetricUntrusted, match="--trust-metric"):
        plan_ensemble(opened(project), EnsembleOptions())
    for arguments in (("thresholds", "tiny"), ("ensemble", "tiny"), ("compare", "tiny", "tiny")):
        code, _, err = foldtune(*arguments)
        assert (code, "Traceback" in err) == (2, False)
    assert foldtune("results", "tiny")[0] == 0
    trial = store.trial("0001")
    trial.write_config(number=1, params={}, config={"model_name": "test_resnet"})
    trial.append_epoch(EpochRow(1, {"hits": 0.5}, 1, {"hits": 0.5}, 2.0, 100.0, 1e-3, 64, 0.4))
    trial.finish("COMPLETE")
    assert foldtune("report", "tiny", "-o", "report", "--no-timing")[0] == 0
    assert not (project.folder / "ran").exists()
    with trusting_metrics(True):
        run = opened(project)
    assert run.task.metric_value("hits", np.ones((1, 3)), np.array([0]), np.array([0])) == 1.0
    assert own_function(opened(project).task).source is None


@pytest.mark.parametrize(
    ("copy", "words"), [(b"raise SystemExit\n", "metrics.py is not the file that the metric"), (b"\xff", "no text")]
)
def test_a_copy_that_was_changed_is_never_run(project: Project, foldtune: Command, copy: bytes, words: str) -> None:
    (project.folder / "metrics.py").write_text(HITS)
    started(project, OWN).metric_path.write_bytes(copy)
    for trust in (["--trust-metric"], []):
        code, _, err = foldtune("thresholds", "tiny", *trust)
        assert code == 2
        assert words in " ".join(err.split())


def test_a_resumed_search_keeps_its_metric_and_its_costs(project: Project) -> None:
    (project.folder / "metrics.py").write_text(HITS)
    changes = {**OWN, "search.costs": COSTS, "storage": str(project.folder / "runs")}
    started(project, changes)
    forget(project)
    run, given = opened(project), checked(project, changes).config
    check_same(given, run.config)
    again = check_same_metrics(given, run)
    assert own_function(again.task).source == HITS  # of the user's own configuration
    assert own_function(opened(project).task).source == HITS
    other = checked(project, {**changes, "search.costs": [[0, 1, 1], [1, 0, 1], [1, 1, 0]]}).config
    with pytest.raises(InputError, match=r"search\.costs: not as run 'tiny' was started with"):
        check_same_metrics(other, run)
    (project.folder / "metrics.py").write_text(HITS + "\n")
    with pytest.raises(InputError, match=r"search\.metric: not as run"):
        check_same_metrics(given, run)


def test_a_job_takes_the_files_along(project: Project) -> None:
    (project.folder / "metrics.py").write_text(HITS)
    (project.folder / "costs.csv").write_text("0,1,1\n1,0,1\n1,1,0\n")
    path = Path(project.config({**OWN, "search.costs": "costs.csv"}))
    raw = yaml.safe_load(path.read_text())
    package = pack_job(raw, project.folder)
    assert dict(package.files) == {"metrics.py": HITS, "costs.csv": "0,1,1\n1,0,1\n1,1,0\n"}
    assert package.config["search"]["metric"] == "metrics.py:hits"
    assert package.config["search"]["costs"] == "costs.csv"
    assert json.dumps(raw)  # which is as it was
    absent = pack_job(raw, Path("/shared"))
    assert absent.config["search"]["metric"] == "/shared/metrics.py:hits"


def test_a_search_that_is_sent_to_a_cluster_is_the_users_own(project: Project) -> None:
    (project.folder / "metrics.py").write_text(HITS)
    command = remote_search(SearchRequest(Path(project.config(OWN))))
    assert command.files()["metrics.py"] == HITS
    recorded = (project.folder / "state" / "foldtune" / "metrics").read_text().splitlines()
    assert recorded == [digest_of(HITS)]
