"""Writes are atomic, whatever happens to the writer or the disk."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import os
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from foldtune.errors import RunCorrupt, StorageDenied, StorageError, StorageFull
from foldtune.results.storage import arrays, files

ROOT = Path(__file__).resolve().parents[3]


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 64 kB with 8 kB left."""
    mount = tmp_path / "small"
    mount.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"]
    if subprocess.run(["mount", *options, str(mount)], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a tmpfs here")
    (mount / "filler").write_bytes(bytes(56 * 1024))
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_json_round_trip_turns_non_finite_numbers_into_null(tmp_path: Path) -> None:
    value = {
        "a": np.float32(0.5),
        "b": np.arange(2),
        "c": math.nan,
        "d": (1, np.int64(2)),
        "e": tmp_path,
        3: True,
    }
    files.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert "NaN" not in text
    expected = {"a": 0.5, "b": [0, 1], "c": None, "d": [1, 2], "e": str(tmp_path), "3": True}
    assert files.read_json(tmp_path / "x.json") == expected


def test_absent_files_are_none(tmp_path: Path) -> None:
    assert files.read_json(tmp_path / "x") is None
    assert files.read_yaml(tmp_path / "x") is None
    assert files.read_npz(tmp_path / "x") is None
    assert files.read_jsonl(tmp_path / "x") == []


def test_truncated_json_is_corrupt_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"status": "COMPLETE", "error": None, "fit_time_s": 12.5, "é": [1, 2]})
    whole = path.read_bytes()
    for end in range(len(whole) - 1):  # without its last newline it is still whole
        path.write_bytes(whole[:end])
        with pytest.raises(RunCorrupt, match=r"x\.json"):
            files.read_json(path)


def test_truncated_npz_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    files.write_npz(path, {"a": np.arange(500), "b": np.asarray(["x", "yy"])})
    whole = path.read_bytes()
    for end in random.Random(0).sample(range(len(whole)), 60):
        path.write_bytes(whole[:end])
        with pytest.raises(RunCorrupt, match=r"x\.npz"):
            files.read_npz(path)


def test_flipped_bytes_of_npz_are_never_read_as_other_values(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    array = np.arange(500)
    files.write_npz(path, {"a": array})
    whole = path.read_bytes()
    for at in random.Random(0).sample(range(len(whole)), 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read = files.read_npz(path)
        except RunCorrupt:
            continue
        assert read is not None  # a flip in a field that no reader needs, such as the date
        assert all(np.array_equal(values, array) for values in read.values())


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.asarray([{"a": 1}], dtype=object)
    with pytest.raises(TypeError, match="a"):
        files.write_npz(tmp_path / "x.npz", {"a": objects})
    assert list(tmp_path.iterdir()) == []
    np.savez(tmp_path / "x.npz", a=objects)  # pickled
    with pytest.raises(RunCorrupt, match="allow_pickle"):
        files.read_npz(tmp_path / "x.npz")


def test_lines_cut_at_any_byte_keep_the_complete_ones(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [{"epoch": i, "name": "é" * i} for i in range(1, 4)]
    for row in rows:
        files.append_line(path, files.json_text(row))
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        kept = whole[:end].count(b"\n")
        assert files.read_jsonl(path) == rows[:kept]
        files.append_line(path, '{"epoch": 9}')
        assert files.read_jsonl(path) == [*rows[:kept], {"epoch": 9}]


def test_a_damaged_middle_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(RunCorrupt, match="line 2"):
        files.read_jsonl(tmp_path / "m.jsonl")


def test_a_line_holds_no_newline(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="newline"):
        files.append_line(tmp_path / "m.jsonl", "a\nb")


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    files.write_bytes_atomic(path, b"old")

    def fail(file: IO[bytes]) -> None:
        file.write(b"new")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def write_for_ever(folder: Path, ready: Connection) -> None:
    """Write each kind of file anew, until killed; and send to `ready` after the first time."""
    for i in itertools.count(1):
        files.write_json(folder / "x.json", {"i": i, "same": [i] * 5000})
        files.write_npz(folder / "x.npz", {"same": np.full(50000, i)})
        files.append_line(folder / "m.jsonl", files.json_text({"i": i, "same": [i] * 5000}))
        if i == 1:
            ready.send(None)


def test_a_killed_writer_leaves_nothing_half_written(tmp_path: Path) -> None:
    delays = random.Random(0)
    fork = multiprocessing.get_context("fork")  # a new interpreter would import for seconds and write for none
    for _ in range(6):
        ready, sender = fork.Pipe()
        writer = fork.Process(target=write_for_ever, args=(tmp_path, sender))
        writer.start()
        ready.recv()
        writer.join(timeout=delays.uniform(0.02, 0.15))
        assert writer.is_alive()
        writer.kill()
        writer.join()
        value = files.read_json(tmp_path / "x.json")
        assert value is None or value["same"] == [value["i"]] * 5000
        arrays = files.read_npz(tmp_path / "x.npz")
        assert arrays is None or len(set(arrays["same"].tolist())) == 1
        for row in files.read_jsonl(tmp_path / "m.jsonl"):
            assert row["same"] == [row["i"]] * 5000
    assert len(files.read_jsonl(tmp_path / "m.jsonl")) >= 6


def test_full_disk_is_named_and_changes_nothing(full_disk: Path) -> None:
    path, lines = full_disk / "x.json", full_disk / "m.jsonl"
    files.write_json(path, {"a": 1})
    files.append_line(lines, '{"epoch": 1}')
    with pytest.raises(StorageFull, match=r"x\.json.*space"):
        files.write_bytes_atomic(path, bytes(40_000))
    with pytest.raises(StorageFull, match=r"m\.jsonl.*space"):
        files.append_line(lines, files.json_text({"epoch": 2, "filler": "x" * 40_000}))
    assert files.read_json(path) == {"a": 1}
    assert files.read_jsonl(lines) == [{"epoch": 1}]
    assert sorted(p.name for p in full_disk.iterdir()) == ["filler", "m.jsonl", "x.json"]


LIMITED = """
import resource, sys
from pathlib import Path
from foldtune.errors import StorageFull
from foldtune.results.storage.files import append_line, write_bytes_atomic, write_npz
import numpy as np
folder = Path(sys.argv[1])
write_bytes_atomic(folder / "x.bin", b"old")
append_line(folder / "m.jsonl", '{"epoch": 1}')
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for write in (
    lambda: write_bytes_atomic(folder / "x.bin", bytes(10_000)),
    lambda: write_npz(folder / "x.npz", {"a": np.zeros(10_000)}),
    lambda: append_line(folder / "m.jsonl", "x" * 10_000),
):
    try:
        write()
    except StorageFull:
        print("full")
"""


def test_file_size_limit_is_named_and_changes_nothing(tmp_path: Path) -> None:
    output, _ = run_python(LIMITED, str(tmp_path)).communicate(timeout=60)
    assert output.split() == ["full"] * 3
    assert (tmp_path / "x.bin").read_bytes() == b"old"
    assert (tmp_path / "m.jsonl").read_text() == '{"epoch": 1}\n'
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.jsonl", "x.bin"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(StorageDenied, match="permissions"):
        files.write_json(folder / "x.json", {})
    with pytest.raises(StorageDenied, match="permissions"):
        files.append_line(folder / "m.jsonl", "{}")


DENIED = """
import os, sys
from pathlib import Path
from foldtune.errors import StorageDenied
from foldtune.results.storage.files import append_line, read_json, write_json
os.setuid(65534)
folder = Path(sys.argv[1])
for attempt in (
    lambda: write_json(folder / "x.json", {}),
    lambda: append_line(folder / "m.jsonl", "{}"),
    lambda: read_json(folder / "secret.json"),
):
    try:
        attempt()
    except StorageDenied as error:
        print("denied", str(folder) in str(error))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "secret.json").chmod(0o600)
    tmp_path.chmod(0o700)
    output, _ = run_python(DENIED, str(tmp_path)).communicate(timeout=60)
    assert output.splitlines() == ["denied True"] * 3


def test_a_file_in_the_way_of_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        files.write_json(tmp_path / "file" / "x.json", {})


def test_yaml_keeps_its_order_and_runs_no_code(tmp_path: Path) -> None:
    files.write_yaml(tmp_path / "c.yaml", {"b": 1, "a": {"x": (1, 2)}})
    assert (tmp_path / "c.yaml").read_text().startswith("b: 1\na:")
    (tmp_path / "c.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(RunCorrupt, match=r"c\.yaml"):
        files.read_yaml(tmp_path / "c.yaml")


def test_removing_returns_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(bytes(123))
    assert files.remove_file(tmp_path / "w") == 123
    assert files.remove_file(tmp_path / "w") == 0


def test_json_text_is_strict() -> None:
    assert json.loads(files.json_text([math.inf, -math.inf, math.nan, 1.5])) == [None, None, None, 1.5]


def test_archives_that_claim_more_than_they_hold_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    files.write_npz(path, {"a": np.zeros(1 << 22)}, compressed=True)
    assert files.read_npz(path)["a"].sum() == 0  # type: ignore[index]
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as entry:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 45,)}
        np.lib.format.write_array_header_1_0(entry, header)
        entry.write(b"\0" * 64)
    with pytest.raises(RunCorrupt, match="states 281,474,976,710,656 bytes and holds 64"):
        files.read_npz(path)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.with_suffix(".npy").rename(path)
    with pytest.raises(RunCorrupt, match="a single array"):
        files.read_npz(path)


def test_an_archive_beyond_the_bound_is_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_BYTES", 1 << 16)
    path = tmp_path / "x.npz"
    files.write_npz(path, {"a": np.zeros(1 << 16)}, compressed=True)
    with pytest.raises(RunCorrupt, match="more than such an archive can hold"):
        files.read_npz(path)
