"""The post-processing that trials have by their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from foldtune.results.records.trials import TrialRecord
from foldtune.search.runs.postprocessing import common_postprocess

LOW = {"threshold": 0.2}


def records(configs: Sequence[Any], params: Mapping[str, Any]) -> list[TrialRecord]:
    """Finished trials with these post-processings in their configurations, None for one without."""
    return [
        TrialRecord(
            f"{number:04d}",
            number,
            "COMPLETE",
            params,
            {} if postprocess is None else {"postprocess": postprocess},
            *(1, 1, {"loss": 1.0}, 1.0, 1.0, 0.1, None),
        )
        for number, postprocess in enumerate(configs)
    ]


@pytest.mark.parametrize(
    ("configs", "params"),
    [
        ([LOW, {"threshold": 0.3}], {}),
        ([LOW, LOW], {"lr": 0.1, "postprocess.threshold": 0.2}),
        ([LOW], {"postprocess": "low"}),
        (["tuned", "tuned"], {}),
        ([None, None], {}),
        ([LOW, None], {}),
    ],
)
def test_what_differs_or_is_sampled_or_tuned_or_not_given_is_not_common(
    configs: list[Any], params: dict[str, Any]
) -> None:
    assert common_postprocess(records(configs, params)) is None


def test_what_the_space_fixes_is_common() -> None:
    assert common_postprocess(records([LOW, dict(LOW), LOW], {"lr": 0.1})) == LOW
