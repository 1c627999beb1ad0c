"""Tables of a million rows: read in seconds, in less than a gigabyte, whatever single cells hold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROWS = 1_000_000
READ = """
import json, resource, sys, time
from pathlib import Path
import torch
from foldtune.search.cli.main import run
from foldtune.search.config.loading import load_config
from foldtune.search.data.dataset import read_labelled
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
config, before, start = load_config(Path(sys.argv[1])), peak(), time.process_time()
task, table = read_labelled(config.data, config.task)
read = time.process_time() - start
found = {"rows": len(table), "labels": len(task.labels), "read_s": read, "added_gb": peak() - before}
width = max(array.dtype.itemsize for array in (table.ids, table.targets))
del task, table
code = run(["validate", sys.argv[1]]) if len(sys.argv) > 2 else 0
print("\\n" + json.dumps({**found, "width": width, "code": code, "with_validate_gb": peak() - before}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a million empty files, and the tables of them."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "images").mkdir()
    inside = os.open(folder / "images", os.O_RDONLY)
    for row in range(ROWS):
        os.mknod(f"{row:07d}.jpg", dir_fd=inside)
    os.close(inside)
    with (folder / "long.csv").open("w") as long, (folder / "junk.csv").open("w") as junk:
        long.write("image,label,note\n")
        junk.write("image,label\n")
        for row in range(ROWS):
            long.write(f"{row:07d}.jpg,{'abcd'[row % 4]},{'y' * 3000 if row == 777 else 'x'}\n")
            junk.write(f"{row:07d}.jpg,{'y' * 3000 if row == 777 else f'class {row % 20_000}'}\n")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(("name", "labels", "then"), [("long", 4, ["validate"]), ("junk", 20_001, [])])
def test_a_million_rows_are_read_in_seconds_and_take_less_than_a_gigabyte(
    folder: Path, name: str, labels: int, then: list[str]
) -> None:
    config = folder / f"{name}.yaml"
    config.write_text(
        f"name: {name}\ntask: multiclass\nspace: {{model_name: test_resnet, lr: 0.01}}\n"
        f"data: {{train: {name}.csv, images: images, target: label, image_size: 32}}\n"
        "search: {num_samples: 1, max_epochs: 1}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", READ, str(config), *then], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["rows"], found["labels"], found["code"]) == (ROWS, labels, 0)
    assert found["read_s"] < 60  # of a processor that others use, too
    assert max(found["added_gb"], found["with_validate_gb"]) < 1
    assert found["width"] < 100  # an array as wide as the longest cell would take 12 kB a row
