"""A function of the user's own: read, run, called by the names of its arguments, its errors shown as theirs."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import fbeta_score, roc_auc_score

from foldtune.errors import InputError, MetricFailed, MetricUntrusted
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.user_metrics.function import MetricFunction
from foldtune.trainers.user_metrics.task import stored_task, with_metrics

FILE = '''\
"""Mine."""
import numpy as np
from sklearn.metrics import fbeta_score, roc_auc_score


def pauc(targets, scores):
    return roc_auc_score(targets, scores, max_fpr=0.2)


def f2(targets, predictions):
    return fbeta_score(targets, predictions, beta=2)


def misses(targets, predictions):
    return (targets != predictions).mean()


misses.mode = "min"


def named(targets, scores, labels):
    return float(len(labels))


def breaks(targets, scores):
    table = {}
    return table["no such key"]


def pair(targets, scores):
    return 1.0, 2.0


def spoils(targets, scores, labels):
    targets[:], scores[:] = 0, 0
    labels.clear()
    return 0.5


def strange(y_true, y_score):
    return 0.0


class Wrong:
    mode = "up"

    def __call__(self, targets, scores):
        return 0.0


class Pauc:
    def __init__(self, targets, scores):
        self.value = 0.5


async def later(targets, scores):
    return 0.5


def course(targets, scores):
    yield 0.5


wrong = Wrong()
number = 3
'''
rng = np.random.default_rng(5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "metrics.py").write_text(FILE)
    return tmp_path / "metrics.py"


def binary(file: Path, name: str) -> Task:
    return with_metrics(Binary("y", ("no", "yes")), [MetricFunction.read(file, name)])


def rows(number: int = 200) -> tuple[np.ndarray, np.ndarray]:
    targets = (rng.random(number) < 0.3).astype(np.int64)
    return targets, np.clip(0.3 + 0.2 * targets + 0.2 * rng.normal(size=number), 0, 1)


def test_it_is_called_by_the_names_of_its_arguments(file: Path) -> None:
    targets, scores = rows()
    pauc, misses = binary(file, "pauc"), binary(file, "misses")
    predictions = pauc.predict(scores)
    values = pauc.evaluate(scores, predictions, targets)
    assert values["pauc"] == pytest.approx(roc_auc_score(targets, scores, max_fpr=0.2))
    assert pauc.mode("pauc") == "max"
    assert "pauc" not in pauc.tunable_metrics
    assert misses.metric_value("misses", scores, predictions, targets) == (targets != predictions).mean()
    assert misses.mode("misses") == "min"
    assert binary(file, "named").metric_value("named", scores, predictions, targets) == 2.0


def test_the_users_arrays_are_copies(file: Path) -> None:
    targets, scores = rows()
    before = targets.copy(), scores.copy()
    task = binary(file, "spoils")
    for _ in range(2):
        assert task.metric_value("spoils", scores, scores > 0.5, targets) == 0.5
    np.testing.assert_array_equal(targets, before[0])
    np.testing.assert_array_equal(scores, before[1])
    assert task.label_names == ("no", "yes")


@pytest.mark.parametrize("returned", ["1", "np.float32(1)", "np.array(1.0)", "np.int64(1)", "Fraction(1)"])
def test_a_number_of_any_kind_is_one(tmp_path: Path, returned: str) -> None:
    text = f"import numpy as np\nfrom fractions import Fraction\n\ndef f(targets, scores):\n    return {returned}\n"
    (tmp_path / "own.py").write_text(text)
    value = binary(tmp_path / "own.py", "f").metric_value("f", np.ones(2), np.ones(2), np.ones(2))
    assert (value, type(value)) == (1.0, float)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "returned",
    [
        *("'0.5'", "b'1'", "np.str_('1')", "None", "True", "np.bool_(True)", "1j", "10**400"),
        *("np.array([0.5])", "[0.5]", "later()"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, returned: str) -> None:
    text = "import numpy as np\n\nasync def later():\n    return 1\n\n"
    (tmp_path / "own.py").write_text(f"{text}def f(targets, scores):\n    return {returned}\n")
    with pytest.raises(MetricFailed, match=r"own\.py:f: returned .*, which is no number"):
        binary(tmp_path / "own.py", "f").metric_value("f", np.ones(2), np.ones(2), np.ones(2))


def test_only_functions_of_the_file_are_offered(file: Path) -> None:
    with pytest.raises(InputError) as raised:
        MetricFunction.read(file, "fbeta_scor")
    offered = "pauc, f2, misses, named, breaks, pair, spoils, strange, later, course"
    assert str(raised.value) == f"unknown function of metrics.py: 'fbeta_scor'; valid: {offered}"


def test_a_threshold_is_fitted_to_it(file: Path) -> None:
    targets, scores = rows()
    task = binary(file, "f2")
    fitted = task.fit_postprocess(scores, targets, "f2")
    best = max(fbeta_score(targets, scores >= cut, beta=2) for cut in np.unique(scores))
    reached = task.metric_value("f2", scores, task.predict(scores, fitted), targets)
    assert reached == pytest.approx(best, abs=0.01)
    assert reached > task.metric_value("f2", scores, task.predict(scores), targets) + 0.05


@pytest.mark.parametrize(
    "task",
    [
        Multiclass("y", ("a", "b", "c"), (8, 4, 1)),
        Ordinal("y", ("0", "1", "2"), (8, 4, 1)),
        Multilabel("y", ("a", "b", "c")),
    ],
    ids=lambda task: task.name,
)
def test_coordinate_ascent_is_never_worse_than_the_default(task: Task, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import numpy as np\n\ndef recall(targets, predictions):\n"
        "    return float(np.mean([(predictions[targets == c] == c).mean() for c in np.unique(targets)]))\n"
    )
    joined = with_metrics(task, [MetricFunction.read(tmp_path / "own.py", "recall")])
    if task.name == "multilabel":
        targets = (rng.random((150, 3)) < [0.5, 0.2, 0.1]).astype(np.int64)
        scores = np.clip(0.2 + 0.2 * targets + 0.15 * rng.normal(size=targets.shape), 0, 1)
    else:
        targets = rng.choice(3, 150, p=[0.7, 0.2, 0.1])
        logits = rng.normal(size=(150, 3)) + np.eye(3)[targets] + [1.5, 0, -1]
        scores = task.scores(logits)
    fitted = joined.fit_postprocess(scores, targets, "recall")
    assert not joined.check_postprocess(json.loads(json.dumps(fitted)))
    before = joined.metric_value("recall", scores, joined.predict(scores), targets)
    after = joined.metric_value("recall", scores, joined.predict(scores, fitted), targets)
    assert after > before + 0.03


def test_its_errors_are_shown_as_its_own(file: Path) -> None:
    targets, scores = rows(20)
    line = FILE.splitlines().index('    return table["no such key"]') + 1
    with pytest.raises(MetricFailed, match=f"^metrics.py:breaks, line {line}: KeyError: 'no such key'$"):
        binary(file, "breaks").metric_value("breaks", scores, targets, targets)
    with pytest.raises(MetricFailed, match=r"returned \(1.0, 2.0\), which is no number"):
        binary(file, "pair").metric_value("pair", scores, targets, targets)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pauk", "unknown function of metrics.py: 'pauk'; did you mean 'pauc'"),
        ("number", "unknown function of metrics.py: 'number'"),
        ("strange", r"strange\(y_true, y_score\): its arguments must be \(targets, scores\)"),
        ("wrong", "wrong.mode is 'up'; valid: max, min"),
        ("Pauc", "Pauc is a class; a metric is a function that returns a number"),
        ("later", r"later is a coroutine function \(async def\)"),
        ("course", "course is a generator function"),
    ],
)
def test_what_is_no_metric_is_refused(file: Path, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        MetricFunction.read(file, name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(targets, scores:\n", "own.py, line 1: SyntaxError"),
        ("x = 1\nimport helpers_beside\n", "own.py, line 2: ModuleNotFoundError: .*run by itself"),
        ("raise SystemExit\n", "own.py, line 1: SystemExit"),
        ("\n\n1 / 0\n", "own.py, line 3: ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_does_not_run_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(InputError, match=words):
        MetricFunction.read(tmp_path / "own.py", "f")


def test_a_missing_file_is_named_with_the_nearest(file: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean 'metrics\.py'"):
        MetricFunction.read(file.with_name("metric.py"), "pauc")
    file.with_name("binary.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no Python file in UTF-8"):
        MetricFunction.read(file.with_name("binary.py"), "pauc")


def test_a_name_of_the_task_is_taken(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def accuracy(targets, predictions):\n    return 1\n")
    with pytest.raises(InputError, match="accuracy is a metric of the task binary"):
        binary(tmp_path / "own.py", "accuracy")


def test_a_stored_task_has_the_metric_without_its_code(file: Path) -> None:
    task = binary(file, "f2")
    assert pickle.loads(pickle.dumps(task)).metric_value("f2", np.ones(2), np.ones(2, int), np.ones(2, int)) == 1.0
    stored = json.dumps(task.to_dict())
    assert "fbeta" not in stored
    locked = stored_task(json.loads(stored))
    assert locked == task
    values = locked.evaluate(np.ones(2), np.ones(2, int), np.ones(2, int))
    assert np.isnan(values["f2"])
    assert values["accuracy"] == 1.0
    for call in (
        lambda: locked.metric_value("f2", np.ones(2), np.ones(2, int), np.ones(2, int)),
        lambda: locked.fit_postprocess(np.ones(2), np.ones(2, int), "f2"),
    ):
        with pytest.raises(MetricUntrusted, match="--trust-metric"):
            call()
    with pytest.raises(InputError, match="not the file"):
        MetricFunction.read(file, "f2").unlocked("def f2(targets, predictions): return 2")
