"""Decoding many images in several processes, each writing its own rows of one file."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldtune.errors import BrokenImage, DataError
from foldtune.trainers.data.images import Uint8Array, decode
from foldtune.trainers.data.preprocess import Step, apply_steps

_BLOCK = 64  # images a job: long enough to hide the messages, short enough for a smooth progress bar
_WORTH_A_PROCESS = 64  # a process costs ~0.4 s to start; this many photographs take about that


@dataclass(frozen=True)
class _Block:
    first: int
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class _Job:
    """Decodes a block of rows into `target`, an .npy already of its full size (None: decodes only)."""

    size: tuple[int, int]
    resize: str
    target: Path | None
    offset: int
    steps: tuple[Step, ...]

    def __call__(self, block: _Block) -> tuple[int, dict[int, str]]:
        """Number of images done and the reason for each row that is broken."""
        pixels = np.zeros((len(block.paths), *self.size, 3), dtype=np.uint8)
        broken: dict[int, str] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata would tear a progress bar
            for place, path in enumerate(block.paths):
                try:
                    pixels[place] = apply_steps(self.steps, decode(path, self.size, resize=self.resize))
                except BrokenImage as error:
                    broken[block.first + place] = error.reason
        if self.target is not None:
            _write(self.target, pixels, self.offset + block.first * pixels[0].nbytes)
        return len(block.paths), broken


def decode_all(
    paths: Sequence[Path],
    size: tuple[int, int],
    resize: str,
    target: Path | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
    steps: tuple[Step, ...] = (),
) -> dict[int, str]:
    """Decode all `paths`, each changed by `steps`, into the rows of the .npy file `target`.

    Returns the reasons of the broken rows.
    """
    offset = 0 if target is None else target.stat().st_size - len(paths) * size[0] * size[1] * 3
    blocks = [_Block(at, tuple(paths[at : at + _BLOCK])) for at in range(0, len(paths), _BLOCK)]
    workers = max(1, min(workers, len(paths) // _WORTH_A_PROCESS))
    done, broken = 0, {}
    for count, found in _run(_Job(size, resize, target, offset, steps), blocks, workers):
        done += count
        broken.update(found)
        if progress is not None:
            progress(done, len(paths))
    return broken


def _run(job: _Job, blocks: Sequence[_Block], workers: int) -> Iterator[tuple[int, dict[int, str]]]:
    if workers == 1:
        yield from map(job, blocks)
        return
    # loky starts fresh interpreters: no fork of a process whose threads (torch, Ray) may hold locks, and no
    # second run of the caller's __main__ as multiprocessing's spawn has it.
    from joblib.externals.loky import ProcessPoolExecutor, as_completed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = ProcessPoolExecutor(max_workers=workers, initializer=_follow, initargs=(os.getpid(),))
    try:
        for future in as_completed([pool.submit(job, block) for block in blocks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError([f"one of {workers} decoding processes died (out of memory?); use fewer"]) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)  # nothing is left to do, or the caller gave up


def _follow(parent: int) -> None:
    """Leave Ctrl-C to `parent`, and end soon after it: its SIGKILL would leave this process waiting for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write(path: Path, pixels: Uint8Array, offset: int) -> None:
    """Plain writes, not a memory map: on a full disk they raise, where a map kills the process."""
    handle = os.open(path, os.O_WRONLY)
    try:
        left = memoryview(pixels.tobytes())
        while left:
            written = os.pwrite(handle, left, offset)
            left, offset = left[written:], offset + written
    finally:
        os.close(handle)
