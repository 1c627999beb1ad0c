"""Labels that scores contradict, ranked, beside cleanlab and by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from foldtune.search.audit import doubtful
from foldtune.search.audit.doubtful import FLAGGED, find_doubtful
from foldtune.search.audit.rows import AuditRows
from foldtune.search.runs.run import Run
from foldtune.trainers.tasks import get_task


def rows_named(ids: Any, **fields: Any) -> AuditRows:
    none = np.full(len(ids), "", dtype=object)
    paths = tuple(Path(name) for name in ids.tolist())
    places = np.zeros(len(ids), dtype=np.int64)
    return AuditRows(cast("Any", None), cast("Any", None), ids, paths, places > 0, places, None, none, places, **fields)


def judged(monkeypatch: pytest.MonkeyPatch, task: Any, scores: Any, targets: Any, extra: int = 0) -> Any:
    """Doubts on rows a0, a1, … of a run whose ensemble has these scores."""
    count = len(scores)
    ids = np.array([f"a{row}" for row in range(count + extra)])
    held_out = SimpleNamespace(ids=ids[:count], scores=scores, targets=targets)
    monkeypatch.setattr(doubtful, "_held_out", lambda run: held_out)
    store = SimpleNamespace(name="skin", ensemble=SimpleNamespace(exists=lambda: False))
    return find_doubtful(cast("Run", SimpleNamespace(task=task, store=store)), rows_named(ids))


def test_a_case_is_judged_once_under_its_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("multiclass", ["a", "b"])
    scores = np.array([[0.9, 0.1], [0.1, 0.9], [0.8, 0.2]])
    ids = np.array(["k0", "k1", "k2"])
    held_out = SimpleNamespace(ids=ids, scores=scores, targets=np.array([0, 0, 0]))
    monkeypatch.setattr(doubtful, "_held_out", lambda run: held_out)
    store = SimpleNamespace(name="skin", ensemble=SimpleNamespace(exists=lambda: True))
    cases = np.array(["k0", "k1", "k1", "k2", "k3", "k4"], dtype=object)
    outside = np.array([False] * 5 + [True])
    rows = rows_named(np.array([f"{name}.png" for name in "abcdef"]), cases=cases, is_extra=outside)
    found = find_doubtful(cast("Run", SimpleNamespace(task=task, store=store)), rows)
    assert [(rows.ids[each.row], each.suggested) for each in found.findings] == [("b.png", "b")]
    assert found.notes[0] == "no held-out model has judged 1 labelled case of 4"


def task_of(name: str, labels: list[str]) -> Any:
    import pandas as pd

    return get_task(name).from_frame(pd.DataFrame({"label": labels}), "label")


def test_swapped_labels_come_first_and_cleanlab_flags_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from cleanlab.filter import find_label_issues

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    logits = rng.normal(0, 1, (300, 3)) + 4 * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    swapped = rng.choice(300, 15, replace=False)
    targets = truth.copy()
    targets[swapped] = (targets[swapped] + 1) % 3
    doubts = judged(monkeypatch, task_of("multiclass", ["a", "b", "c"] * 100), scores, targets)
    assert doubts.notes == ()
    rows = [each.row for each in doubts.findings]
    assert len(set(swapped.tolist()) & set(rows[:15])) >= 13
    flagged = {each.row for each in doubts.findings if each.detail == FLAGGED}
    assert flagged == set(np.flatnonzero(find_label_issues(targets, scores, n_jobs=1)).tolist())
    margins = [scores[row, targets[row]] - np.delete(scores[row], targets[row]).max() for row in rows]
    assert margins == sorted(margins)
    assert {row for row in range(300) if scores[row].argmax() != targets[row]} <= set(rows)
    first = doubts.findings[0]
    assert first.score == pytest.approx(scores[first.row, targets[first.row]])
    assert first.suggested == "abc"[int(scores[first.row].argmax())]


def test_two_classes_by_one_score(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("binary", ["no", "yes"] * 20)
    targets = np.array([0, 1] * 20)
    scores = np.where(targets == 1, 0.9, 0.1)
    scores[3], scores[8] = 0.05, 0.7
    doubts = judged(monkeypatch, task, scores, targets, extra=7)
    assert [(each.row, each.suggested) for each in doubts.findings[:2]] == [(3, "no"), (8, "yes")]
    assert doubts.findings[0].score == pytest.approx(0.05)
    assert doubts.notes == ("no held-out model has judged 7 labelled rows of 47; foldtune ensemble skin judges all",)


def test_each_of_several_labels_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("multilabel", ["cat|dog", "cat", "dog", ""] * 10)
    targets = np.array([[1, 1], [1, 0], [0, 1], [0, 0]] * 10)
    scores = np.where(targets == 1, 0.8, 0.2).astype(np.float64)
    scores[1, 1], scores[6, 1] = 0.9, 0.3
    doubts = judged(monkeypatch, task, scores, targets)
    assert [(each.row, each.suggested) for each in doubts.findings[:2]] == [(1, "with dog"), (6, "without dog")]
    unknown = targets.copy()
    unknown[1, 1] = -1  # a cell without a known label
    assert [each.row for each in judged(monkeypatch, task, scores, unknown).findings[:1]] == [6]


def test_swapped_labels_of_real_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All 1,797 digits, one label in twenty swapped, five folds: four in five of those are in the top 8 %."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    swapped = rng.choice(len(digits.target), 90, replace=False)
    targets = digits.target.copy()
    targets[swapped] = (targets[swapped] + rng.integers(1, 10, 90)) % 10
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02))
    scores = cross_val_predict(model, digits.data, targets, cv=5, method="predict_proba")
    doubts = judged(monkeypatch, task_of("multiclass", [str(each) for each in range(10)]), scores, targets)
    top = {each.row for each in doubts.findings[: round(0.08 * len(targets))]}
    assert len(top & set(swapped.tolist())) >= 0.9 * 90
