"""A submission has the sample's form, or is not written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from foldtune.errors import SubmissionError
from foldtune.results.exports.submission import write_submission


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample_submission.csv"
    path.write_text("image,label\n007.jpg,a\n003.jpg,a\nNA,a\n", encoding="utf-8-sig")
    return path


def test_sample_gives_columns_and_order(tmp_path: Path, sample: Path) -> None:
    frame = pd.DataFrame({"label": ["x", "y", ""], "image": ["NA", "003.jpg", "007.jpg"]})
    written = write_submission(frame, tmp_path / "submission.csv", sample)
    assert (tmp_path / "submission.csv").read_text() == 'image,label\n007.jpg,""\n003.jpg,y\nNA,x\n'.replace('""', "")
    assert written["image"].tolist() == ["007.jpg", "003.jpg", "NA"]


def test_numbers_as_ids(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,p\n2,0\n1,0\n")
    write_submission(pd.DataFrame({"id": [1, 2], "p": [0.25, 0.5]}), tmp_path / "o.csv", tmp_path / "s.csv")
    assert (tmp_path / "o.csv").read_text() == "id,p\n2,0.5\n1,0.25\n"


def test_ids_are_those_of_the_sample_however_they_are_written(tmp_path: Path) -> None:
    text = "id,p\n007,0\nb,0\nC.JPG,0\n"
    (tmp_path / "s.csv").write_text(text)
    frame = pd.DataFrame({"id": ["part/c.jpg", "7", "b.png"], "p": [0, 0, 0]})
    write_submission(frame, tmp_path / "o.csv", tmp_path / "s.csv")
    assert (tmp_path / "o.csv").read_text() == text
    with pytest.raises(SubmissionError, match="3 ids without a prediction"):  # two of the stem
        write_submission(pd.DataFrame({"id": ["b.png", "b.jpg"], "p": 0}), tmp_path / "o.csv", tmp_path / "s.csv")


def test_a_sample_in_another_encoding_comes_back_in_it(tmp_path: Path) -> None:
    text = "이미지;진단\r\n사진 1.jpg;모반\r\n".encode("cp949")
    (tmp_path / "s.csv").write_bytes(text)
    frame = pd.DataFrame({"이미지": ["사진 1.jpg"], "진단": ["모반"]})
    with pytest.raises(SubmissionError, match="its encoding is not UTF-8"):
        write_submission(frame, tmp_path / "o.csv", tmp_path / "s.csv")
    write_submission(frame, tmp_path / "o.csv", tmp_path / "s.csv", encoding="cp949")
    assert (tmp_path / "o.csv").read_bytes() == text
    (tmp_path / "s.csv").write_bytes(text.decode("cp949").encode())
    write_submission(frame, tmp_path / "o.csv", tmp_path / "s.csv", encoding="cp949")
    assert (tmp_path / "o.csv").read_bytes().decode() == text.decode("cp949"), "UTF-8 is tried first"


def test_every_problem_is_named_and_nothing_is_written(tmp_path: Path, sample: Path) -> None:
    frame = pd.DataFrame({"image": ["007.jpg", "007.jpg", "x", "NA"], "label": ["a", "b", "c", None]})
    output = tmp_path / "o.csv"
    output.write_text("old")
    with pytest.raises(SubmissionError) as caught:
        write_submission(frame, output, sample)
    message = str(caught.value)
    assert "1 id more than once in the predictions: 007.jpg" in message
    assert "1 id without a prediction: 003.jpg" in message
    assert "1 id predicted but not in the sample: x" in message
    assert "1 id with an empty 'label': NA" in message
    assert output.read_text() == "old"


def test_many_ids_are_counted(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,p\n" + "".join(f"{i:02d},0\n" for i in range(11)))
    with pytest.raises(SubmissionError, match=r"11 ids without a prediction: 00, 01, 02, 03, 04, …"):
        write_submission(pd.DataFrame({"id": ["x"], "p": [1]}), tmp_path / "o.csv", tmp_path / "s.csv")


def test_columns_are_compared(tmp_path: Path, sample: Path) -> None:
    frame = pd.DataFrame({"image": ["007.jpg"], "lable": ["a"]})
    with pytest.raises(SubmissionError, match=r"lack column 'label'; did you mean 'lable'(.|\n)*no column 'lable'"):
        write_submission(frame, tmp_path / "o.csv", sample)
    with pytest.raises(SubmissionError, match="no id column 'id'"):
        write_submission(frame, tmp_path / "o.csv", sample, id_column="id")


@pytest.mark.parametrize("text", ["", "image,label\n"])
def test_samples_without_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(SubmissionError, match=r"s\.csv"):
        write_submission(pd.DataFrame({"image": ["a"], "label": [1]}), tmp_path / "o.csv", tmp_path / "s.csv")


def test_absent_sample(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="no sample submission at"):
        write_submission(pd.DataFrame({"image": ["a"]}), tmp_path / "o.csv", tmp_path / "s.csv")


def test_without_a_sample_the_frame_is_written(tmp_path: Path) -> None:
    write_submission(pd.DataFrame({"image": ["b", "a"], "label": [1, 2]}), tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "image,label\nb,1\na,2\n"
    with pytest.raises(SubmissionError, match="more than once"):
        write_submission(pd.DataFrame({"image": ["a", "a"], "label": [1, 2]}), tmp_path / "o.csv")


@pytest.mark.parametrize("folder", ["ham10000", "mosaic", "retinamnist"])
def test_real_samples_come_back_as_they_are(tmp_path: Path, shared_data: Path, folder: str) -> None:
    sample = shared_data / folder / "sample_submission.csv"
    frame = pd.read_csv(sample, dtype=str, keep_default_na=False)
    write_submission(frame.sample(frac=1, random_state=0), tmp_path / "o.csv", sample)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "o.csv", dtype=str, keep_default_na=False), frame)


@pytest.mark.parametrize("text", ['"id","p"\n"1","0"\n"2","0"\n', '"id","p"\n"1",0\n'])
def test_quotes_around_every_cell_are_kept_and_those_of_some_are_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    ids = [line.split(",")[0].strip('"') for line in text.splitlines()[1:]]
    write_submission(pd.DataFrame({"id": ids, "p": 0}), tmp_path / "o.csv", tmp_path / "s.csv")
    expected = text if '"0"' in text else "id,p\n1,0\n"
    assert (tmp_path / "o.csv").read_text() == expected
