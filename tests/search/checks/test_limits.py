"""Limits of size and latency: larger models leave the space before a search, by figures that a resumed run keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm

from foldtune.errors import InputError
from foldtune.results.records.measured_file import Measured, ModelFigures, read_measured, write_measured
from foldtune.search.checks.limits import within_limits
from foldtune.search.config.schema import SearchConfig
from foldtune.search.runs.run import open_run
from foldtune.search.runs.validation import Checked, check_file
from foldtune.spaces import Space

Command = Callable[..., tuple[int, str, str]]
MODELS = ["resnet10t", "test_resnet", "test_vit"]
LATENCIES = {"resnet10t": 9.0, "test_resnet": 2.0, "test_vit": 4.0}


def limited(**search: Any) -> Mapping[str, Any]:
    return {"space.model_name": {"choice": MODELS}, **{f"search.{key}": value for key, value in search.items()}}


@pytest.fixture
def latencies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models whose latency was measured."""
    seen: list[str] = []

    def measure(task: Any, settings: Any, size: Any, *, device: str | None, batch: int) -> float:
        assert (size, device, batch, settings.tta) == ((16, 16), "cpu", 1, "none")
        seen.append(settings.model_name)
        return LATENCIES[settings.model_name]

    monkeypatch.setattr("foldtune.trainers.inference.trained.inference_time_ms", measure)
    return seen


def models(checked: Checked) -> tuple[Any, ...]:
    return checked.space.distributions()["model_name"].choices  # type: ignore[attr-defined, no-any-return]


def test_larger_models_leave_the_space_each_with_its_figure(project: Any) -> None:
    checked = check_file(Path(project.config(limited(max_params_m=1.0))))
    assert models(checked) == ("test_resnet", "test_vit")
    assert checked.space.default()["model_name"] == "test_resnet"
    (line,) = [note for note in checked.notes if "left out" in note]
    assert line == "model resnet10t is left out: 4.92 M parameters, search.max_params_m is 1"
    counted = sum(each.numel() for each in timm.create_model("test_vit", num_classes=3).parameters()) / 1e6
    figures = {each.model: each for each in checked.figures}
    assert figures["test_vit"].params_m == pytest.approx(counted)
    assert figures["test_vit"].latency_ms is None


def test_slower_models_leave_the_space_and_are_measured_once(project: Any, latencies: list[str]) -> None:
    config = Path(project.config(limited(max_latency_ms=4.0)))
    checked = check_file(config)
    assert models(checked) == ("test_resnet", "test_vit")
    assert any("resnet10t is left out: 9 ms an image (" in note for note in checked.notes)
    assert check_file(config).figures == checked.figures
    assert latencies == MODELS


@pytest.mark.parametrize(
    ("search", "parts"),
    [
        (
            {"max_params_m": 0.01},
            ["search.max_params_m: no model of the space has at most 0.01 M parameters; the smallest: test_"],
        ),
        (
            {"max_latency_ms": 1.5},
            ["search.max_latency_ms: no model within", "the fastest: test_resnet 2 ms, test_vit 4 ms"],
        ),
        ({"max_params_m": 0}, ["search.max_params_m"]),
        ({"max_latency_ms": "fast"}, ["search.max_latency_ms"]),
    ],
)
def test_limits_that_leave_no_model_are_refused(
    project: Any, foldtune: Command, latencies: list[str], search: dict[str, Any], parts: list[str]
) -> None:
    code, _, err = foldtune("validate", project.config(limited(**search)))
    assert code == 2
    for part in parts:
        assert part in " ".join(err.split())


def test_a_run_keeps_its_figures(project: Any) -> None:
    store = project.stored_run()
    config = store.read_config()
    config["space"]["model_name"], config["search"]["max_latency_ms"] = {"choice": MODELS}, 3.0
    store.write_config(config)
    figures = tuple(ModelFigures(name, 1.0, value, "a CPU") for name, value in LATENCIES.items())
    write_measured(store.root, Measured(figures=figures))
    assert read_measured(store.root) == Measured(figures=figures)
    space = open_run("tiny", "runs").space
    assert space.build({"model_name": "test_resnet", "lr": 0.002})["model_name"] == "test_resnet"
    with pytest.raises(ValueError, match="test_vit"):
        space.build({"model_name": "test_vit", "lr": 0.002})


def test_one_model_alone_is_within_or_refused() -> None:
    space = Space.parse({"model_name": "test_vit", "lr": {"uniform": [0.1, 0.2]}})
    figures = [ModelFigures("test_vit", 2.0)]
    assert within_limits(space, SearchConfig(max_params_m=2.0), figures) == space
    with pytest.raises(InputError, match=r"the smallest: test_vit 2$"):
        within_limits(space, SearchConfig(max_params_m=1.0), figures)
