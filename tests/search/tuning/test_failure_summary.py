"""What failed trials have in common, in words."""

from __future__ import annotations

from foldtune.search.tuning.recorder import common_params, common_reason


def test_reasons_that_differ_in_numbers_are_one() -> None:
    reasons = [
        "out of memory at micro-batch 2",
        "loss became nan at epoch 3; lr 0.1 may be too high",
        "loss became nan at epoch 12; lr 3.2e-05 may be too high",
    ]
    assert common_reason(reasons) == (reasons[1], 2)


def test_names_what_no_other_trial_has() -> None:
    failed = [
        {"lr": 0.3, "loss": "focal", "size": 64, "drop": 0.1, "gamma": 1.0},
        {"lr": 0.1, "loss": "focal", "size": 64, "drop": 0.3},
        {"lr": 0.2, "loss": "focal", "size": 64, "drop": 0.3},
    ]
    others = [{"lr": 0.01 * n, "loss": "cross_entropy", "size": 64, "drop": 0.2} for n in range(1, 10)]
    assert common_params(failed, others) == ["lr >= 0.1", "loss=focal"]
    assert common_params([{"lr": 1e-5}] * 2 + [{"lr": 2e-5}], others) == ["lr <= 2e-05"]


def test_what_may_be_chance_is_not_named() -> None:
    failed = [{"lr": 0.3}, {"lr": 0.1}, {"lr": 0.2}]
    assert common_params(failed, [{"lr": 0.01}, {"lr": 0.02}]) == []
    assert common_params([{"loss": "focal"}] * 2, [{"loss": "ldam"}]) == []


def test_without_other_trials_only_equal_values_count() -> None:
    failed = [{"lr": 0.3, "loss": "focal"}, {"lr": 0.1, "loss": "focal"}, {"lr": 0.1, "loss": "focal"}]
    assert common_params(failed, []) == ["loss=focal"]
    assert common_params([{"a": 1}, {"b": 1}, {"b": 1}], []) == []
