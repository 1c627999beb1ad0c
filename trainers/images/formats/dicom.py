"""DICOM files, read by pydicom, an optional package.

Grey pixels are brought to 8 bits by the file's own window where it has one (PS3.3, C.11.2), else as other deep pixels
are; a file of several frames gives its first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.images.deep_pixels import Window, scale, to_uint8

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".dicom")
MISSING = "DICOM needs pydicom: pip install 'foldtune[dicom]'"
_OWN = "the window of the file"
_PREAMBLE = 128

Uint8 = npt.NDArray[np.uint8]


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its mark; one without a preamble by its suffix."""
    with path.open("rb") as file:
        head = file.read(_PREAMBLE + 4)
    return head[_PREAMBLE:] == b"DICM" or path.suffix.lower() in SUFFIXES


def can_read() -> bool:
    """Whether pydicom is installed."""
    return find_spec("pydicom") is not None


def unreadable_files(paths: Sequence[Path]) -> list[str]:
    """Return a line where files are DICOM by their suffix and pydicom is not installed, [] elsewhere."""
    found = [path for path in paths if os.fspath(path).lower().endswith(SUFFIXES)]
    return (
        [f"{len(found)} images are DICOM files (first: {found[0].name}): {MISSING}"] if found and not can_read() else []
    )


def dicom_size(path: Path) -> tuple[int, int]:
    """Return height and width in pixels. Raises ValueError for a file without pixels or without pydicom."""
    return _size(_dataset(path, stop_before_pixels=True))


def read_dicom(path: Path, window: Window | None) -> tuple[Uint8, str | None]:
    """Return pixels (H, W) or (H, W, 3) as 8 bits, and the range that was mapped to them where they are deeper.

    Args:
        window: in the units of the file's rescaling, such as Hounsfield units; None is that of the file.

    Raises:
        ValueError: no pydicom, no pixels, or a compression that needs a package that is not installed.
    """
    dataset = _dataset(path)
    _size(dataset)
    values = _pixels(dataset)
    if dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        values = np.asarray(apply_color_lut(values, dataset))[..., :3]
    if values.ndim == 3:
        return (values, None) if values.dtype == np.uint8 else _by_range(values, window)
    pixels, name = _grey(values, dataset, window)
    return (255 - pixels if dataset.get("PhotometricInterpretation") == "MONOCHROME1" else pixels), name


def _dataset(path: Path, **options: Any) -> Dataset:
    if not can_read():
        raise ValueError(MISSING)
    import pydicom

    return pydicom.dcmread(path, force=True, **options)


def _size(dataset: Dataset) -> tuple[int, int]:
    height, width = dataset.get("Rows"), dataset.get("Columns")
    if not height or not width:
        raise ValueError("a DICOM file without pixels, such as a report, or no DICOM file")
    return int(height), int(width)


def _pixels(dataset: Dataset) -> npt.NDArray[Any]:
    """Return the first frame (H, W) or (H, W, 3), RGB where the file has YBR."""
    from pydicom.pixels.utils import pixel_array

    try:
        return np.asarray(pixel_array(dataset, index=0))
    except (RuntimeError, NotImplementedError) as error:  # no package for the compression
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        name = getattr(syntax, "name", "unknown")
        raise ValueError(f"compressed as {name}, for which no package is installed ({error})") from error


def _grey(values: npt.NDArray[Any], dataset: Dataset, window: Window | None) -> tuple[Uint8, str | None]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    modal = np.asarray(apply_modality_lut(values, dataset))
    if window is not None:
        return _by_range(modal, window)
    if "VOILUTSequence" in dataset:
        depth = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return scale(np.asarray(apply_voi_lut(modal, dataset, prefer_lut=True)), 0, 2.0**depth - 1), _OWN
    own = _own_window(dataset)
    if own is not None:
        return _windowed(modal, *own, str(dataset.get("VOILUTFunction", "LINEAR"))), _OWN
    if values.dtype == np.uint8 and np.array_equal(modal, values):
        return values, None
    return _by_range(modal, None)


def _by_range(values: npt.NDArray[Any], window: Window | None) -> tuple[Uint8, str]:
    plain = values.dtype.kind == "f" or values.dtype == np.uint16
    return to_uint8(values if plain else values.astype(np.int64), window=window)


def _own_window(dataset: Dataset) -> tuple[float, float] | None:
    """Return centre and width of the file's first window, None without a usable one."""
    centre, width = (np.atleast_1d(dataset.get(key, None)) for key in ("WindowCenter", "WindowWidth"))
    try:
        first = float(centre[0]), float(width[0])
    except (TypeError, ValueError, IndexError):
        return None
    return first if np.isfinite(first).all() and first[1] > 0 else None


def _windowed(values: npt.NDArray[Any], centre: float, width: float, function: str) -> Uint8:
    """Return values under a window (PS3.3, C.11.2.1.2 and C.11.2.1.3)."""
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return scale(1 / (1 + np.exp(-4 * (values.astype(np.float64) - centre) / width)), 0, 1)
    if function == "LINEAR_EXACT":
        return scale(values, centre - width / 2, centre + width / 2)
    low = centre - 0.5 - (width - 1) / 2
    return scale(values, low, low + max(width - 1, 1e-6))
