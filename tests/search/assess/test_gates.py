"""Conditions on an ensemble's figures: what is read, what passes, and how the command ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import InputError
from foldtune.search.assess.gates import Gate, evaluate_gates, parse_gates
from foldtune.trainers.tasks.multiclass import Multiclass

Command = Callable[..., tuple[int, str, str]]
DESCRIPTION: dict[str, Any] = {
    "estimate": {"macro_f1": 0.625, "auroc": None, "loss": 1.75},
    "per_class": [
        {"label": "mel", "precision": 0.5, "recall": 0.75, "f1": 0.6, "support": 40},
        {"label": "a > b", "precision": 1.0, "recall": 0.25, "f1": 0.4, "support": 8},
        {"label": "3", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
    ],
}


def verdicts(*gates: object) -> list[Any]:
    return evaluate_gates(parse_gates(list(gates)), DESCRIPTION)


def messages(*gates: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        verdicts(*gates)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "mapping", "gate"),
    [
        ("macro_f1 > 0.6", {"metric": "macro_f1", "above": 0.6}, Gate("macro_f1", None, ">", 0.6)),
        ("loss<=2", {"metric": "loss", "at_most": 2}, Gate("loss", None, "<=", 2.0)),
        (
            "recall of mel >= 7e-1",
            {"metric": "recall", "class": "mel", "at_least": "7e-1"},
            Gate("recall", "mel", ">=", 0.7),
        ),
        ("support of 3 < 1", {"metric": "support", "class": 3, "below": 1}, Gate("support", "3", "<", 1.0)),
        (
            "recall of a > b > .2",
            {"metric": "recall", "class": "a > b", "above": 0.2},
            Gate("recall", "a > b", ">", 0.2),
        ),
    ],
)
def test_a_line_and_a_mapping_are_equivalent(text: str, mapping: dict[str, Any], gate: Gate) -> None:
    assert parse_gates([text, mapping]) == [gate, gate]
    assert parse_gates([str(gate)]) == [gate]


@pytest.mark.parametrize(
    ("sign", "passes"), [(">", (False, False, True)), (">=", (False, True, True)), ("<", (True, False, False))]
)
def test_the_bound_itself_passes_only_where_it_is_included(sign: str, passes: tuple[bool, ...]) -> None:
    found = tuple(Gate("macro_f1", None, sign, 0.5).evaluate(value).passed for value in (0.25, 0.5, 0.75))
    assert found == passes


def test_figures_are_those_of_the_estimate_and_of_the_class() -> None:
    found = verdicts("macro_f1 > 0.5", "recall of mel < 0.5", "precision of a > b >= 1", "support of 3 > 5", "loss < 2")
    assert [verdict.value for verdict in found] == [0.625, 0.75, 1.0, 0.0, 1.75]
    assert [verdict.margin for verdict in found] == [0.125, -0.25, 0.0, -5.0, 0.25]
    assert [verdict.passed for verdict in found] == [True, False, True, False, True]


def test_a_figure_that_does_not_exist_passes_nothing() -> None:
    for verdict in verdicts("auroc > -1", "auroc < 1"):
        assert not verdict.passed
        assert (verdict.to_dict()["value"], verdict.to_dict()["margin"]) == (None, None)


def test_all_unknown_names_are_reported_with_the_nearest() -> None:
    found = messages("macr_f1 > .5", "recal of mel > .5", "recall of mell > .5", "recall > .5", "macro_f1 > 60")
    assert "did you mean 'macro_f1'?" in found[0]
    assert "did you mean 'recall'?" in found[1]
    assert "did you mean 'mel'?" in found[2]
    assert "recall of CLASS" in found[3]
    assert "never reaches 60" in found[4]


def test_all_entries_that_are_no_gates_are_reported() -> None:
    found = messages(
        "macro_f1 = 0.6",
        "macro_f1 > high",
        {"metric": "recall", "clas": "mel", "above": 0.5},
        {"metric": "recall", "above": 0.5, "below": 0.7},
        {"metric": "recall", "class": False, "above": 0.5},
        {"class": "mel", "above": 0.5},
        {"metric": "macro_f1", "above": float("nan")},
        7,
    )
    parts = ["cannot read", "not a number", "did you mean 'class'?", "exactly one", "quotes", "metric", "number", "7"]
    assert len(found) == len(parts)
    for place, (message, part) in enumerate(zip(found, parts, strict=True), start=1):
        assert f"gate {place}:" in message
        assert part in message


@pytest.mark.parametrize("content", [[], None, "macro_f1 > 0.6", {"macro_f1": 0.6}])
def test_a_file_of_gates_is_a_list(content: object) -> None:
    with pytest.raises(InputError, match="must be a list of conditions"):
        parse_gates(content, "gates.yaml")


def test_the_exit_code_depends_on_the_gates(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    Path("gates.yaml").write_text("- macro_f1 > 0.6\n- {metric: recall, class: mel, above: 0.7}\n")
    code, out, err = foldtune("gate", "tiny", "gates.yaml")
    assert (code, out) == (2, "")
    assert "no ensemble" in err
    task = Multiclass("label", ("mel", "a > b", "3"), (4, 4, 4))
    targets, predictions = np.repeat([0, 1, 2], 4), np.array([0] * 4 + [1] * 4 + [2, 0, 0, 0])
    scores = np.eye(3)[predictions] * 0.7 + 0.1
    store.ensemble.write_oof(
        {"ids": np.arange(12).astype(str), "targets": targets, "scores": scores, "predictions": predictions}
    )
    figures = {
        "estimate": task.evaluate(scores, predictions, targets),
        "per_class": task.per_class(predictions, targets),
    }
    store.ensemble.write({"task": task.to_dict(), "metric": "macro_f1", **figures})
    code, out, err = foldtune("gate", "tiny", "gates.yaml")
    assert (code, err) == (0, "")
    assert "recall of mel > 0.7" in out
    assert "all 2 conditions hold" in out
    Path("gates.yaml").write_text("- macro_f1 > 0.6\n- recall of 3 > 0.5\n")
    code, out, _ = foldtune("gate", str(store.ensemble.root), "gates.yaml", "--format", "json")
    assert code == 1
    told = json.loads(out)
    assert told["passed"] is False
    assert [gate["passed"] for gate in told["gates"]] == [True, False]
    assert told["gates"][1]["class"] == "3"
    code, out, _ = foldtune("gate", "tiny", "gates.yaml")
    assert code == 1
    assert "1 of 2 conditions fail" in out
    code, _, err = foldtune("gate", "tiny", "gate.yaml")
    assert code == 2
    assert "cannot read the gates gate.yaml: No such file or directory; did you mean 'gates.yaml'?" in err
