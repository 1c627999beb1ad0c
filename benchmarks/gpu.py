"""What no CPU can check, on the GPUs of this machine, in five minutes at most: `python -m benchmarks.gpu`.

`make gpu` runs it, and `make gpu PYTHON=/path/to/python` in another environment than .venv. Checks that cannot be made
here are named with the reason, and fail nothing: without a GPU the exit status is 0. A check that does not hold ends
with 1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from foldtune.trainers.fitting.fit import TrainSpec

TOTAL_S = 300.0
MODEL, SIDE, ROWS, BATCH = "resnet18", 96, 2048, 512
GPU = "cuda:0"


class LeftOut(Exception):
    """A check that cannot be made here."""


@dataclass(frozen=True)
class Check:
    """A check: its usual seconds, and what makes it and returns its figures. It raises AssertionError or LeftOut."""

    seconds: float
    make: Callable[[], str]
    gpus: int = 1


def training(**settings: Any) -> TrainSpec:
    """Return a training of one epoch on random images."""
    import pandas as pd

    from foldtune.trainers.fitting.fit import FoldData, TrainSpec
    from foldtune.trainers.fitting.timing import LoadedImages
    from foldtune.trainers.inference.trained import NoiseImages
    from foldtune.trainers.tasks import get_task
    from foldtune.trainers.tasks.parsing import parse_settings

    task = get_task("multiclass").from_frame(pd.DataFrame({"label": ["a", "b"] * 2}), "label")
    rows = np.arange(ROWS)
    images = LoadedImages.of(NoiseImages((ROWS, SIDE, SIDE, 3)))
    data = FoldData(images, rows % 2, rows.astype(np.str_), rows, rows[:64])
    given = {"model_name": MODEL, "batch_size": BATCH, "augmentation": "none", **settings}
    return TrainSpec(parse_settings(given, task), task, data, "loss", 1, 0)


def precisions(device: str = GPU) -> str:
    """Train in float32, bf16 and fp16: losses are close to one another, and figures are images a second."""
    import torch

    from foldtune.trainers.fitting.fit import Fit
    from foldtune.trainers.optim.precision import choose_precision

    found = {}
    for amp, dtype in {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}.items():
        on_gpu = device != "cpu"
        assert choose_precision(amp, torch.device(device)).dtype is dtype or not on_gpu, f"{amp} is not computed in"
        (found[amp],) = Fit(training(amp=amp), device=device).run()
    losses = {amp: report.metrics["train_loss"] for amp, report in found.items()}
    for amp, loss in losses.items():
        assert abs(loss - losses["off"]) < 0.1 * losses["off"], f"the mean loss in {amp} is {loss}, not {losses['off']}"
    return ", ".join(f"{amp} {report.images_per_s:,.0f} images/s" for amp, report in found.items())


def micro_batch() -> str:
    """Train within half of the memory that a whole batch takes: the micro-batch is halved, and the epoch ends."""
    import torch

    from foldtune.trainers.fitting.fit import Fit

    spec, total = training(amp="off"), torch.cuda.get_device_properties(GPU).total_memory
    torch.cuda.reset_peak_memory_stats(GPU)
    (whole,) = Fit(spec, device=GPU).run()
    peak = torch.cuda.max_memory_allocated(GPU)
    assert whole.micro_batch_size == BATCH, f"a batch of {BATCH} does not fit at all"
    torch.cuda.set_per_process_memory_fraction(0.5 * peak / total, GPU)
    try:
        (halved,) = Fit(spec, device=GPU).run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    assert halved.micro_batch_size < BATCH, "the micro-batch is not halved"
    assert np.isfinite(halved.metrics["train_loss"])
    return f"{BATCH} images in parts of {halved.micro_batch_size} within {0.5 * peak / 1e9:.1f} GB"


def memory_is_freed() -> str:
    """Train two trials one after the other: what the first held is free before the second starts."""
    import gc

    import torch

    from foldtune.trainers.fitting.fit import Fit

    held = []
    for _ in range(2):
        fit = Fit(training(), device=GPU)
        fit.run()
        del fit
        gc.collect()
        held.append((torch.cuda.memory_allocated(GPU), torch.cuda.memory_reserved(GPU)))
    (first, reserved), (second, again) = held
    assert second <= first + 2**20, f"{second - first} bytes more are held after a second trial"
    assert max(reserved, again) < 2**28, f"{max(reserved, again) / 1e6:.0f} MB stay reserved after a trial"
    return f"{second / 1e6:.1f} MB held, {again / 1e6:.0f} MB reserved after a trial"


def loop_speed() -> str:
    """Time the training loop over bare steps on tensors that lie on the GPU."""
    from benchmarks.images import Images
    from benchmarks.loop import loop_speeds
    from benchmarks.report import cores
    from foldtune.trainers.data.table import Table

    spec = training()
    table = Table(spec.data.ids, tuple(map(Path, spec.data.ids.tolist())), spec.data.targets)
    images = Images(spec.task, table, spec.data.images, 0)
    real, bare = (float(np.median(each)) for each in loop_speeds(images, threads=cores(), rows=1024, repeats=3))
    return f"{real:,.0f} images/s, {real / bare:.2f} of the bare steps' {bare:,.0f}"


def search(gpus_per_trial: float, trials: int = 1) -> str:
    """Search so many trials at a time, each on a part of a GPU or on several, through the command and Ray."""
    import ray  # noqa: F401  # where it is not installed, the check is left out
    import yaml

    from foldtune.trainers.data.digits import write_digits

    with tempfile.TemporaryDirectory(prefix="foldtune-gpu-") as name:
        folder = Path(name)
        write_digits(folder / "digits")
        config = {
            "name": "gpu",
            "task": "multiclass",
            "data": {"root": "digits", "train": "train.csv", "images": "images", "target": "label", "image_size": 32},
            "space": {
                "model_name": "test_resnet",
                "pretrained": False,
                "batch_size": 64,
                "lr": {"loguniform": [1e-3, 1e-2]},
            },
            "search": {"num_samples": trials, "max_epochs": 8, "trial_scheduler": "none"},
            "resources": {"gpus_per_trial": gpus_per_trial, "max_concurrent_trials": trials},
            "ensemble": {"top": 1, "folds": 2},
        }
        (folder / "gpu.yaml").write_text(yaml.safe_dump(config))
        _run_command(folder, "search", "gpu.yaml")
        return _searched(folder / "runs/gpu", trials)


def _run_command(folder: Path, *arguments: str) -> None:
    root = str(Path(__file__).resolve().parent.parent)
    own = {"FOLDTUNE_CACHE": str(folder / "cache"), "XDG_STATE_HOME": str(folder), "PYTHONPATH": root}
    command = [sys.executable, "-m", "foldtune", *arguments]
    ended = subprocess.run(command, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=90)
    assert ended.returncode == 0, ended.stderr[-1000:]


def _searched(run: Path, trials: int) -> str:
    """Return the format that was chosen; check that the trials ended well, and trained at the same time."""
    ends = [json.loads(path.read_text()) for path in run.glob("trials/*/trial.json")]
    assert [end["status"] for end in ends] == ["COMPLETE"] * trials, ends
    starts = [path.stat().st_mtime for path in run.glob("trials/*/config.json")]
    finished = [path.stat().st_mtime for path in run.glob("trials/*/trial.json")]
    assert max(starts) < min(finished), "the trials did not run side by side"
    (timed,) = json.loads((run / "measured.json").read_text())["formats"]
    best = max(timed["speeds"], key=lambda each: float(each["images_per_s"]))
    return f"{trials} at a time; fastest in {best['amp']}, {best['images_per_s']:,.0f} images/s on {timed['device']}"


CHECKS: Mapping[str, Check] = {
    "bf16 and fp16": Check(30.0, precisions),
    "micro-batch after out-of-memory": Check(30.0, micro_batch),
    "memory freed between trials": Check(20.0, memory_is_freed),
    "loop over a bare one": Check(40.0, loop_speed),
    "two trials a device": Check(90.0, partial(search, 0.5, 2)),
    "a trial on several devices": Check(90.0, partial(search, 2), gpus=2),
}


def count_gpus() -> int:
    """Return the number of GPUs that torch finds. Raises LeftOut without torch."""
    try:
        import torch
    except ModuleNotFoundError:
        raise LeftOut(f"torch is not installed in {sys.executable}") from None
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def main(checks: Mapping[str, Check] = CHECKS, total_s: float = TOTAL_S) -> int:
    """Make the checks, print each with its figures, and return the exit status."""
    begun_s, failed, left_out = time.monotonic(), 0, {}
    for name, check in checks.items():
        try:
            left_s = total_s - (time.monotonic() - begun_s)
            _require(check, left_s, total_s)
            print(f"holds: {name}: {check.make()}", flush=True)
        except LeftOut as error:
            left_out[name] = str(error)
        except ModuleNotFoundError as error:
            left_out[name] = f"{error.name} is not installed in {sys.executable}"
        except Exception as error:
            failed += 1
            print(f"does not hold: {name}: {type(error).__name__}: {error}", flush=True)
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    return 1 if failed else 0


def _require(check: Check, left_s: float, total_s: float) -> None:
    gpus = count_gpus()
    if gpus < check.gpus:
        found = f"{gpus} here" if gpus else "torch finds none here"
        raise LeftOut(f"it needs {'a GPU' if check.gpus == 1 else f'{check.gpus} GPUs'}; {found}")
    if left_s < check.seconds:
        raise LeftOut(f"{left_s:.0f} s are left of {total_s:.0f}, and it takes about {check.seconds:.0f}")


if __name__ == "__main__":
    sys.exit(main())
