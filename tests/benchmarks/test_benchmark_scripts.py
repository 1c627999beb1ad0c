"""The benchmarks run and print their tables; the measured values are not tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))  # they are run from the checkout, not installed


@pytest.fixture
def lesions(tmp_path: Path) -> Path:
    """The form of HAM10000, filled with digits."""
    from foldtune.trainers.data.digits import write_digits

    folder = tmp_path / "lesions"
    write_digits(folder)
    rows = pd.read_csv(folder / "train.csv", dtype=str).head(150)
    rows.assign(lesion_id=rows["image"], dx=rows["label"]).to_csv(folder / "train.csv", index=False)
    return folder


@pytest.mark.slow
def test_throughput_prints_its_table(
    lesions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import throughput

    tiny = throughput.Plan(loop_rows=64, loop_repeats=1, loader_rows=64, loader_repeats=1)
    monkeypatch.setattr(throughput, "QUICK", tiny)
    monkeypatch.setenv("COLUMNS", "200")
    output = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["throughput", "--quick", "--data", str(lesions), "--output", str(output)])
    throughput.main()
    printed = capsys.readouterr().out
    stored = json.loads(output.read_text())
    figures = stored["figures"][throughput.TITLE]
    assert all(figure["name"] in printed for figure in figures)
    assert stored["machine"].split(" · ")[2] in printed
    ratios = {figure["name"]: figure["value"] for figure in figures if figure["unit"] == "x"}
    assert len(ratios) >= 7
    assert all(value > 0 for value in ratios.values())


def test_throughput_without_data_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import throughput

    monkeypatch.setattr(sys, "argv", ["throughput", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match=f"no HAM10000 in {tmp_path}.*--data"):
        throughput.main()


def test_seconds_a_trial_leave_out_the_first_of_each_worker() -> None:
    from benchmarks.timeline import Timeline

    # Two workers: one ends at 10, 12, 14, 16, the other at 11, 14, 17: five trials in 6 + 6 seconds.
    timeline = Timeline(started=3.0, finished=(10.0, 11.0, 12.0, 14.0, 14.0, 17.0, 16.0), workers=2)
    assert timeline.seconds_a_trial == pytest.approx(12 / 5)
    assert timeline.trials_an_hour == pytest.approx(3000)
    assert timeline.start_up_s(training_s=2.0) == pytest.approx(10.5 - 3 - 2)


def test_postprocess_measures_a_stored_run(tmp_path: Path) -> None:
    from benchmarks import postprocess, storedscores
    from foldtune.search.runs.run import open_run

    figures = postprocess.measure(postprocess.Plan(trials=3, rows=400, labels=2, grid_labels=1), tmp_path, 1)
    values = {figure.name: figure.value for figure in figures}
    parts = ("thresholds of all trials", "greedy selection", "voting: soft, hard, greedy")
    assert 60 * values["all of it"] == pytest.approx(sum(values[name] for name in parts))
    assert all(value > 0 for value in values.values())
    stored = open_run("stored", tmp_path).store.trial("0001")
    scores = stored.read_scores()
    assert scores is not None
    assert scores.logits.tolist() == storedscores.mapped(Path(str(stored.scores_path)), "logits").tolist()


@pytest.mark.bench
def test_overhead_compares_the_three_ways(tmp_path: Path) -> None:
    from benchmarks import overhead, report

    plan = overhead.Plan(trials=2, plain_trials=2, epochs=1, rounds=1, workers=1)
    figures = overhead.measure(plan, tmp_path)
    values = {figure.name: figure.value for figure in figures}
    beyond = values["foldtune search"] - values["bare loop"]
    assert values["foldtune search beyond the bare loop, warm"] == pytest.approx(beyond)
    ratio = values["plain Ray Tune"] / values["foldtune search"]
    assert values["trials an hour over plain Ray Tune, warm"] == pytest.approx(ratio)
    assert report.table(figures, overhead.TITLE, "a machine").row_count == len(figures)


def test_the_checks_of_a_gpu_name_what_they_leave_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import gpu

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["left out", name] for name in gpu.CHECKS]
    assert lines[0].endswith("it needs a GPU; torch finds none here")
    assert lines[-1].endswith("it needs 2 GPUs; torch finds none here")


def test_a_check_of_a_gpu_that_does_not_hold_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import gpu

    def wrong() -> str:
        raise AssertionError("the micro-batch is not halved")

    def absent() -> str:
        raise ModuleNotFoundError("No module named 'ray'", name="ray")

    monkeypatch.setattr(gpu, "count_gpus", lambda: 1)
    checks = {"speed": gpu.Check(1.0, lambda: "9 images/s"), "memory": gpu.Check(1.0, wrong)}
    checks |= {
        "two": gpu.Check(1.0, absent),
        "long": gpu.Check(99.0, lambda: ""),
        "both": gpu.Check(1.0, wrong, gpus=2),
    }
    assert gpu.main(checks, total_s=50.0) == 1
    assert capsys.readouterr().out.splitlines() == [
        "holds: speed: 9 images/s",
        "does not hold: memory: AssertionError: the micro-batch is not halved",
        f"left out: two: ray is not installed in {sys.executable}",
        "left out: long: 50 s are left of 50, and it takes about 99",
        "left out: both: it needs 2 GPUs; 1 here",
    ]
