"""The number type and memory layout of a run: timed once a model where they are open, the same for every trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from foldtune.errors import RunCorrupt
from foldtune.results.records.measured_file import FormatSpeed, Measured, ModelFormats, read_measured, write_measured
from foldtune.search.runs import formats
from foldtune.search.runs.formats import format_notes, format_work, time_models, with_format
from foldtune.search.runs.validation import Checked, check_file
from foldtune.trainers.fitting.fit_types import TrainSpec
from foldtune.trainers.fitting.formats import Format

XEON = "A Xeon, 1 thread"
RESNET = ModelFormats(
    "test_resnet",
    (64, 64),
    XEON,
    "off",
    (FormatSpeed("off", True, 114.0), FormatSpeed("off", False, 115.0), FormatSpeed("bf16", True, 210.0)),
)
MOBILENET = ModelFormats(
    "mobilenetv3_small_050",
    (64, 64),
    XEON,
    "off",
    (FormatSpeed("off", True, 556.0), FormatSpeed("off", False, 415.0), FormatSpeed("bf16", True, 258.0)),
)
TIMED = (RESNET, MOBILENET)
OPEN = {"space.amp": "auto", "space.channels_last": "auto"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("bf16", True)),
        ({"amp": "auto", "channels_last": "auto"}, ("bf16", True)),
        ({"amp": "off"}, ("off", True)),
        ({"channels_last": False}, ("off", False)),
        ({"amp": "fp16"}, ("fp16", True)),  # not timed: the layout stays the default
        ({"amp": "bf16", "channels_last": False}, ("bf16", False)),
    ],
)
def test_what_is_open_is_the_fastest_of_what_is_allowed(given: dict[str, Any], found: tuple[str, bool]) -> None:
    config = with_format({"model_name": "test_resnet", "lr": 0.1, **given}, TIMED)
    assert (config["amp"], config["channels_last"], config["lr"]) == (*found, 0.1)


def test_the_default_stays_where_nothing_is_faster_or_nothing_was_timed() -> None:
    config = with_format({"model_name": "mobilenetv3_small_050"}, TIMED)
    assert (config["amp"], config["channels_last"]) == ("off", True)
    assert with_format({"model_name": "test_vit"}, TIMED) == {"model_name": "test_vit"}
    failed = with_format({"model_name": "m"}, [ModelFormats("m", (8, 8), XEON, "bf16")])
    assert (failed["amp"], failed["channels_last"]) == ("bf16", True)


def test_a_run_of_before_keeps_the_meaning_of_an_absent_key(tmp_path: Path) -> None:
    assert read_measured(tmp_path) is None
    assert with_format({"model_name": "test_resnet"}, None) == {"model_name": "test_resnet"}


def test_the_record_is_read_back_equal_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    write_measured(tmp_path, Measured(TIMED))
    assert read_measured(tmp_path) == Measured(TIMED)
    (tmp_path / "measured.json").write_text('{"formats": [{"model": 3}], "figures": []}')
    with pytest.raises(RunCorrupt, match="no record of what was measured"):
        read_measured(tmp_path)


def test_a_line_names_each_model_that_leaves_the_default() -> None:
    assert list(format_notes([*TIMED, ModelFormats("m", (8, 8), XEON, "bf16")])) == [
        "test_resnet trains in bf16, channels last: 210 images/s against 114 in float32, channels last at 64x64 px "
        f"({XEON})",
        "mobilenetv3_small_050 trains in float32, channels last: no format is faster here",
        "m trains in bf16, channels last: no format could be timed",
    ]


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, tuple[Format, ...]]]:
    """Timings that took place: model, images of a step and formats."""
    seen: list[tuple[str, int, tuple[Format, ...]]] = []

    def time_formats(spec: TrainSpec, given: Sequence[Format], device: str | None) -> dict[Format, float]:
        assert device == "cpu"
        assert spec.data.images.shape[1:] == (16, 16, 3)
        seen.append((spec.settings.model_name, len(spec.data.train_rows), tuple(given)))
        return {each: 200.0 if each == Format("off", channels_last=False) else 100.0 for each in given}

    monkeypatch.setattr(formats, "time_formats", time_formats)
    monkeypatch.setattr(formats, "computed", lambda device: ("off", "bf16"))
    return seen


def checked(project: Any, **space: Any) -> Checked:
    named = {f"space.{key}": value for key, value in space.items()}
    return check_file(Path(project.config({**OPEN, **named})))


def test_each_model_is_timed_once_on_a_machine(project: Any, timings: list[Any]) -> None:
    work = format_work(checked(project, model_name={"choice": ["test_resnet", "test_vit"]}))
    assert work is not None
    first = time_models(work)
    every = tuple(Format(amp, layout) for layout in (True, False) for amp in ("off", "bf16"))
    assert timings == [("test_resnet", 12, every), ("test_vit", 12, every)]
    assert time_models(work) == first, "from the cache"
    assert len(timings) == 2
    assert [each.size for each in first] == [(16, 16)] * 2
    assert with_format({"model_name": "test_vit"}, first)["channels_last"] is False


def test_nothing_is_timed_where_nothing_is_open(project: Any) -> None:
    assert format_work(checked(project, amp="off", channels_last=True)) is None
    work = format_work(checked(project, amp="off"))
    assert work is not None
    assert (work.amps, work.layouts) == (("off",), (True, False))


def test_a_check_of_training_takes_the_result(
    project: Any, foldtune: Callable[..., tuple[int, str, str]], timings: list[Any]
) -> None:
    code, out, err = foldtune("validate", project.config(OPEN), "--train")
    assert code == 0, err
    assert "in float32, channels first" in out
    assert len(timings) == 1


def test_a_trial_has_the_format_of_its_run(project: Any) -> None:
    from foldtune.results.records.ranking import Goal
    from foldtune.search.tuning.recorder import Recorder

    store = project.stored_run()
    write_measured(store.root, Measured(TIMED))
    recorder = Recorder(
        store, None, Goal("macro_f1", "max"), keep_weights=1, max_failed_trials=1, on_finished=lambda record: None
    )
    record = store.trial(recorder.start(7, {}, {"model_name": "test_resnet"})).record()
    assert record.config == {"model_name": "test_resnet", "amp": "bf16", "channels_last": True}
