"""The configurations of an ablation."""

from __future__ import annotations

import pytest

from foldtune.errors import InputError
from foldtune.search.runs.variations import variations
from foldtune.spaces import Space

LOSSES = {"cross_entropy": None, "focal": {"gamma": {"uniform": [0, 3], "default": 2}}}
SPACE = Space.parse(
    {
        "model_name": "test_resnet",
        "loss": {"choice": LOSSES},
        "mixup": {"choice": [0.0, 0.2]},
        "lr": {"uniform": [0, 1], "grid": [0.1, 0.2, 0.3]},
        "drop_rate": {"uniform": [0, 0.5]},
    }
)
BASE = {"loss": "focal", "loss.focal.gamma": 1.0, "mixup": 0.2, "lr": 0.25, "drop_rate": 0.1}


def test_each_choice_once_with_all_else_as_in_the_base() -> None:
    found = {each.label: each.params for each in variations(SPACE, BASE, ["loss", "lr"])}
    rest = {"mixup": 0.2, "drop_rate": 0.1}
    assert next(iter(found)) == "loss=focal, lr=0.25"
    assert found == {
        "loss=focal, lr=0.25": BASE,
        "loss=cross_entropy": {"loss": "cross_entropy", "lr": 0.25, **rest},
        "lr=0.1": {**BASE, "lr": 0.1},
        "lr=0.2": {**BASE, "lr": 0.2},
        "lr=0.3": {**BASE, "lr": 0.3},
    }
    (_, focal) = variations(SPACE, {"loss": "cross_entropy", "mixup": 0.0, "lr": 0.1, "drop_rate": 0.0}, ["loss"])
    assert focal.params["loss.focal.gamma"] == 2.0, "a new branch has its defaults"


@pytest.mark.parametrize(
    ("key", "base", "problem"),
    [
        ("los", BASE, "--vary: unknown parameter 'los'; did you mean 'loss'"),
        ("model_name", BASE, "--vary model_name: it is a constant of the space; write {choice: […]} to vary it"),
        ("drop_rate", BASE, "--vary drop_rate: 0 to 0.5 has no end of values; give the range a grid"),
        (
            "loss.focal.gamma",
            {"loss": "cross_entropy", "lr": 0.1},
            "--vary loss.focal.gamma: counts only with loss = focal, which the base has not",
        ),
    ],
)
def test_what_cannot_be_varied_is_named(key: str, base: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        variations(SPACE, base, [key])  # type: ignore[arg-type]
    assert str(caught.value).startswith(problem)


def test_a_single_value_compares_with_nothing() -> None:
    space = Space.parse({"loss": {"choice": ["focal"]}, "lr": {"uniform": [0, 1]}})
    with pytest.raises(InputError, match="it has one value, focal: nothing to compare"):
        variations(space, {"loss": "focal", "lr": 0.1}, ["loss"])
