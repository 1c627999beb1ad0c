"""Decoding of many images in several processes, each of which writes its own rows of one file."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foldtune.errors import BrokenImage, DataError
from foldtune.signals import ignore_interrupts
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.images.reading import Uint8Array

_BLOCK = 64  # images a task: long enough to hide the messages, short enough for a smooth progress bar
_MIN_IMAGES_A_PROCESS = 64  # a process takes ~0.4 s to start; this many photographs take about that


@dataclass(frozen=True)
class Decoded:
    """What became of N image files.

    Attributes:
        broken: reason for each row that cannot be decoded.
        deep: number of images of more than 8 bits by the range that became 0..255, such as "12 bits".
        one_colour: rows whose pixels are all alike.
    """

    broken: dict[int, str] = field(default_factory=dict)
    deep: Counter[str] = field(default_factory=Counter)
    one_colour: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Block:
    first: int
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class _Decoder:
    """Decodes blocks of rows into `target`, an .npy file already of its full size (None: decodes only)."""

    preprocessing: ImagePreprocessing
    target: Path | None
    offset: int

    def __call__(self, block: _Block) -> tuple[int, Decoded]:
        """Return the number of images and what became of them."""
        pixels = np.zeros((len(block.paths), *self.preprocessing.size, 3), dtype=np.uint8)
        found = Decoded()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings of odd metadata would break a progress bar
            for index, path in enumerate(block.paths):
                try:
                    pixels[index], depth, one_colour = self.preprocessing.read_picture(path)
                except BrokenImage as error:
                    found.broken[block.first + index] = error.reason
                else:
                    found.deep.update([depth] if depth else [])
                    found.one_colour.extend([block.first + index] if one_colour else [])
        if self.target is not None:
            _write(self.target, pixels, self.offset + block.first * pixels[0].nbytes)
        return len(block.paths), found


def decode_all(
    paths: Sequence[Path],
    preprocessing: ImagePreprocessing,
    target: Path | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> Decoded:
    """Decode image files into the rows of an .npy file.

    Args:
        target: .npy file of the full size; None decodes only, to find broken files.
        progress: called with (images done, all images).

    Raises:
        DataError: a decoding process died.
    """
    height, width = preprocessing.size
    offset = 0 if target is None else target.stat().st_size - len(paths) * height * width * 3
    blocks = [_Block(at, tuple(paths[at : at + _BLOCK])) for at in range(0, len(paths), _BLOCK)]
    workers = max(1, min(workers, len(paths) // _MIN_IMAGES_A_PROCESS))
    done, decoded = 0, Decoded()
    for count, found in _run(_Decoder(preprocessing, target, offset), blocks, workers):
        done += count
        decoded.broken.update(found.broken)
        decoded.deep.update(found.deep)
        decoded.one_colour.extend(found.one_colour)
        if progress is not None:
            progress(done, len(paths))
    return decoded


def _run(decoder: _Decoder, blocks: Sequence[_Block], workers: int) -> Iterator[tuple[int, Decoded]]:
    if workers == 1:
        yield from map(decoder, blocks)
        return
    # loky starts fresh interpreters: no fork of a process whose threads (torch, Ray) may hold locks, and no
    # second run of the caller's __main__ as multiprocessing's spawn has it.
    from joblib.externals.loky import ProcessPoolExecutor, as_completed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = ProcessPoolExecutor(max_workers=workers, initializer=_end_with_parent, initargs=(os.getpid(),))
    try:
        for future in as_completed([pool.submit(decoder, block) for block in blocks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError([f"one of {workers} decoding processes died (out of memory?); use fewer"]) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)  # nothing is left to do, or the caller gave up


def _end_with_parent(parent: int) -> None:
    """Ignore Ctrl-C, which `parent` handles, and end soon after `parent`: after its SIGKILL nothing else would."""
    ignore_interrupts()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _write(path: Path, pixels: Uint8Array, offset: int) -> None:
    """Write with plain writes, not a memory map: on a full disk they raise, where a map kills the process."""
    handle = os.open(path, os.O_WRONLY)
    try:
        left = memoryview(pixels.tobytes())
        while left:
            written = os.pwrite(handle, left, offset)
            left, offset = left[written:], offset + written
    finally:
        os.close(handle)
