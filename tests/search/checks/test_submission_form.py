"""Submissions in whatever form the sample has, against tables that are written by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldtune.errors import DataError, InputError
from foldtune.results.exports.submission import read_sample, write_submission
from foldtune.search.checks.sample import target_columns
from foldtune.search.checks.submission_form import submission_form
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal

SKIN = Multiclass("dx", ("bkl", "mel", "nv"), (10, 10, 10))
SICK = Binary("y", ("no", "yes"))
GRADES = Ordinal("grade", ("0", "1", "2"), (1, 1, 1))
TAGS = Multilabel("tags", ("cat", "dog", "owl"))
MEAN = np.array([[0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])
SCORES: dict[str, Any] = {"multiclass": MEAN, "ordinal": MEAN, "binary": np.array([0.75, 0.25]), "multilabel": MEAN}
IDS = ["a.jpg", "b.jpg"]


def submitted(folder: Path, task: Any, metric: str, sample: str, id_column: str = "image") -> tuple[str, str]:
    """Return the text of the submission in the form of the sample's text, and the notes."""
    (folder / "sample.csv").write_bytes(sample.encode())
    scores = SCORES[task.name]
    predictions = task.predict(scores, {"cuts": "argmax"} if task.name == "ordinal" else None)
    template = read_sample(folder / "sample.csv")
    form = submission_form(task, metric, template, id_column=id_column, target=task.target)
    frame = form.fill(task, IDS, predictions, scores=scores)
    write_submission(frame, folder / "out.csv", folder / "sample.csv", id_column=frame.columns[0])
    return (folder / "out.csv").read_bytes().decode(), " ".join(form.notes)


CASES = [
    # One label
    (SKIN, "accuracy", "image,dx\nb.jpg,nv\na.jpg,nv\n", "image,dx\nb.jpg,nv\na.jpg,mel\n", ""),
    (SKIN, "accuracy", "Id,Predicted\nb.jpg,0\na.jpg,0\n", "Id,Predicted\nb.jpg,nv\na.jpg,mel\n", ""),
    (SKIN, "accuracy", "image,dx\na,NV\nb,BKL\n", "image,dx\na,MEL\nb,NV\n", ""),
    (SKIN, "accuracy", "image;dx\r\nB.JPG;nv\r\na;nv\r\n", "image;dx\r\nB.JPG;nv\r\na;mel\r\n", ""),
    (GRADES, "qwk", "image,level\na,0\nb,0\n", "image,level\na,1\nb,2\n", ""),
    (GRADES, "qwk", "image,level\na,0.0\nb,0.0\n", "image,level\na,1.0\nb,2.0\n", ""),
    (SKIN, "accuracy", "id,mel\na,mel\nb,mel\n", None, "column 'mel' of the submission holds the probability"),
    # Probabilities a class: order and case of the sample, absent classes, Usage, the index of pandas
    (SKIN, "accuracy", "id,NV,MEL,BKL\na,.3,.3,.4\nb,.3,.3,.4\n", "id,NV,MEL,BKL\na,0.3,0.5,0.2\nb,0.6,0.3,0.1\n", ""),
    (
        SKIN,
        "auroc",
        "id,mel,VASC,nv,bkl,Usage\nb,0,0,0,1,Public\na,0,0,0,1,Private\n",
        "id,mel,VASC,nv,bkl,Usage\nb,0.3,0.0,0.6,0.1,Public\na,0.5,0.0,0.3,0.2,Private\n",
        "columns VASC are 0",
    ),
    (SKIN, "auroc", ",id,mel\n0,a,0.5\n1,b,0.5\n", ",id,mel\n0,a,0.5\n1,b,0.3\n", "the probability of that class"),
    (SKIN, "loss", "id,nv,mel\na,0,0\nb,0,0\n", "id,nv,mel\na,0.3,0.5\nb,0.6,0.3\n", "no column of bkl"),
    (SICK, "f1", "id,No,Yes\na,0.5,0.5\nb,0.5,0.5\n", "id,No,Yes\na,0.25,0.75\nb,0.75,0.25\n", ""),
    # One column of probabilities
    (SICK, "f1", "id,target\na,0.5\nb,0.5\n", "id,target\na,0.75\nb,0.25\n", "holds scores of the label 'yes'"),
    (SICK, "f1", "id,y\na,0.5\nb,0.5\n", "id,y\na,0.75\nb,0.25\n", "the sample holds fractions"),
    (SICK, "auroc", "id,target\na,0\nb,0\n", "id,target\na,0.75\nb,0.25\n", "the metric auroc is of scores"),
    (SICK, "f1", "id,NO\na,0\nb,0\n", "id,NO\na,0.25\nb,0.75\n", "the probability of that class"),
    (TAGS, "map", "id,owl\na,0\nb,0\n", "id,owl\na,0.3\nb,0.6\n", "the probability of that class"),
    # Mappings
    (
        SKIN,
        "loss",
        "id,p\na,\"{'NV': .5, 'mel': .5}\"\nb,{}\n",
        "id,p\na,\"{'NV': 0.3, 'mel': 0.5}\"\nb,\"{'NV': 0.6, 'mel': 0.3}\"\n",
        "the sample's mappings lack bkl: their probabilities are left out",
    ),
    (TAGS, "map", 'id,p\na,"{""owl"": 1}"\nb,{}\n', 'id,p\na,"{""owl"": 0.3}"\nb,"{""owl"": 0.6}"\n', "lack cat, dog:"),
    (SICK, "f1", "id,p\na,{}\nb,{}\n", "id,p\na,\"{'no': 0.25, 'yes': 0.75}\"\nb,\"{'no': 0.75, 'yes': 0.25}\"\n", ""),
    # One-hot and multi-hot
    (SKIN, "accuracy", "id,NV,MEL,DF,BKL\na,1,0,0,0\nb,0,0,1,0\n", "id,NV,MEL,DF,BKL\na,0,1,0,0\nb,1,0,0,0\n", "DF"),
    (
        SKIN,
        "accuracy",
        "id,nv,mel,bkl\na,1.0,0.0,0.0\nb,1.0,0.0,0.0\n",
        "id,nv,mel,bkl\na,0.0,1.0,0.0\nb,1.0,0.0,0.0\n",
        "hold 1",
    ),
    (TAGS, "macro_f1", "id,owl,cat,dog\na,1,1,0\nb,0,0,0\n", "id,owl,cat,dog\na,0,0,1\nb,1,0,0\n", "hold 1 for each"),
    (SICK, "f1", "id,no,yes\na,1,0\nb,1,0\n", "id,no,yes\na,0,1\nb,1,0\n", "hold 1 for each predicted class"),
]


@pytest.mark.parametrize(("task", "metric", "sample", "expected", "note"), CASES)
def test_the_sample_decides(
    task: Any, metric: str, sample: str, expected: str | None, note: str, tmp_path: Path
) -> None:
    found, notes = submitted(tmp_path, task, metric, sample)
    assert expected is None or found == expected
    assert note in notes if note else notes == ""


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["cat owl", "dog"], ["cat dog", "owl"]),
        (["cat, owl", "dog"], ["cat, dog", "owl"]),
        (["CAT;OWL", ""], ["CAT;DOG", "OWL"]),
        (["cat", "dog"], ["cat|dog", "owl"]),
        (["['cat', 'owl']", "[]"], ["['cat', 'dog']", "['owl']"]),
        (['["cat", "owl"]', "[]"], ['["cat", "dog"]', '["owl"]']),
    ],
)
def test_lists_of_labels_have_the_samples_separator(cells: list[str], expected: list[str]) -> None:
    sample = pd.DataFrame({"id": ["a", "b"], "labels": cells})
    form = submission_form(TAGS, "macro_f1", sample, id_column="id", target="tags")
    frame = form.fill(TAGS, ["a", "b"], np.array([[1, 1, 0], [0, 0, 1]]))
    assert frame["labels"].tolist() == expected
    assert ["shows no separator" in note for note in form.notes] == ([True] if cells == ["cat", "dog"] else [])


@pytest.mark.parametrize(
    ("task", "sample", "words"),
    [
        (SKIN, "image,x,y\na,0,0\n", ["columns image, x, y", "no class is called 'x'", "one a class (bkl, mel, nv)"]),
        (SKIN, "image,nv,mle,bkl\na,0,0,0\n", ["no class is called 'mle'; did you mean 'mel'?"]),
        (SKIN, "image,nv,NV,mel,bkl\na,0,0,0,0\n", ["two of them are the class 'nv'"]),
        (SKIN, "image,score\na,0.5\n", ["'score' of the sample holds fractions (0.5)", "named after one class"]),
        (SKIN, "image,Usage\na,Public\n", ["no column beside 'image'"]),
        (SKIN, "image,p\na,{'mle': 1}\n", ["column 'p' of the sample: unknown class 'mle'; did you mean 'mel'?"]),
        (SKIN, "image,p\na,{mel}\n", ["column 'p' of the sample: "]),
    ],
)
def test_columns_that_the_task_cannot_fill(task: Any, sample: str, words: list[str]) -> None:
    frame = pd.read_csv(io.StringIO(sample), dtype=str)
    with pytest.raises(DataError) as caught:
        submission_form(task, "accuracy", frame, id_column="image", target=task.target)
    assert [word for word in words if word not in str(caught.value)] == []


def test_columns_of_several_targets_in_another_case() -> None:
    found = target_columns(["ID", "Oil", "WRINKLE", "Usage"], "image", ["wrinkle", "oil"])
    assert found == {"image": "ID", "wrinkle": "WRINKLE", "oil": "Oil"}
    with pytest.raises(InputError, match="ID, oil; these targets fill image, oil, wrinkle"):
        target_columns(["ID", "oil"], "image", ["oil", "wrinkle"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(["bkl", "mel", "nv", "vasc", "Usage"]),
    case=st.sampled_from([str, str.upper, str.title]),
    ids=st.permutations(["a.jpg", "B", "007"]),
    cell=st.sampled_from(["0", "0.25"]),
)
def test_ids_columns_and_order_are_the_samples(
    order: list[str], case: Callable[[str], str], ids: list[str], cell: str, tmp_path: Path
) -> None:
    columns = ["id", *(name if name == "Usage" else case(name) for name in order)]
    rows = [[name, *("Public" if column == "Usage" else cell for column in columns[1:])] for name in ids]
    sample = pd.DataFrame(rows, columns=columns)
    sample.to_csv(tmp_path / "sample.csv", index=False)
    form = submission_form(SKIN, "accuracy", sample, id_column="image", target="dx")
    scores = pd.DataFrame(np.vstack([MEAN, MEAN[:1]]), columns=["bkl", "mel", "nv"], index=["A", "b.png", "7"])
    frame = form.fill(SKIN, list(scores.index), np.array([1, 2, 1]), scores=scores.to_numpy())
    write_submission(frame, tmp_path / "out.csv", tmp_path / "sample.csv", id_column="id")
    found = pd.read_csv(tmp_path / "out.csv", dtype={"id": str})
    assert list(found.columns) == columns
    assert found["id"].tolist() == ids
    assert (found[case("vasc")] == 0).all()
    assert (found["Usage"] == "Public").all()
    by_hand = scores.loc[[{"a.jpg": "A", "B": "b.png", "007": "7"}[name] for name in ids]]
    for label in scores:
        np.testing.assert_allclose(found[case(label)], by_hand[label])


@pytest.mark.parametrize("folder", ["ham10000", "mosaic", "retinamnist"])
def test_a_round_trip_of_real_samples_gives_their_bytes(folder: str, shared_data: Path, tmp_path: Path) -> None:
    """The sample's own labels as predictions, in another order: what is written is the sample."""
    path = shared_data / folder / "sample_submission.csv"
    sample = read_sample(path)
    labels = sorted({label for cell in sample.iloc[:, 1] for label in cell.split("|") if label})
    named = Multilabel("t", tuple(labels)) if folder == "mosaic" else Multiclass("t", (*labels, "?"), (1,) * 9)
    form = submission_form(named, "macro_f1", sample, id_column="image", target="t")
    shuffled = sample.sample(frac=1, random_state=0)
    hot = shuffled.iloc[:, 1].str.get_dummies("|").reindex(columns=labels).to_numpy()
    frame = form.fill(named, shuffled.iloc[:, 0].tolist(), hot if folder == "mosaic" else hot.argmax(axis=1))
    write_submission(frame, tmp_path / "out.csv", path, id_column=frame.columns[0])
    assert (tmp_path / "out.csv").read_bytes() == path.read_bytes()
