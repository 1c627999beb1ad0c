"""Windows, deep pixels of other formats, DICOM: against NumPy, OpenCV and pydicom by hand."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from foldtune.errors import BrokenImage
from foldtune.trainers.images.deep_pixels import PixelLimits, Window, parse_window, window_to_plain
from foldtune.trainers.images.formats import dicom
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.images.reading import decode_picture, picture_size
from tests.images import decode

pydicom = pytest.importorskip("pydicom")
from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: E402

SIDE = (64, 64)
RAMP = np.linspace(0, 1, 64 * 64).reshape(SIDE)
Array = npt.NDArray[np.generic]


def written(path: Path, values: Array) -> Path:
    assert cv2.imwrite(str(path), values)
    return path


def grey(path: Path, window: object = None) -> npt.NDArray[np.int64]:
    return decode(path, SIDE, limits=PixelLimits(window=parse_window(window)))[..., 0].astype(np.int64)


@pytest.mark.parametrize(
    ("values", "expected", "name"),
    [
        (RAMP, RAMP * 255, "0 to 1"),
        (RAMP * 255, RAMP * 255, "8 bits"),
        (RAMP * 4095, RAMP * 255, "12 bits"),
        (RAMP * 65535, RAMP * 255, "16 bits"),
        (RAMP * 0.01, RAMP * 255, "minimum to maximum"),
        (RAMP * 2 - 1, RAMP * 255, "minimum to maximum"),
        (RAMP * 5 + 30_000, RAMP * 255, "minimum to maximum"),
        (RAMP * 1e6, RAMP * 255, "minimum to maximum"),
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_floats_keep_their_contrast(tmp_path: Path, values: Array, expected: Array, name: str, colour: bool) -> None:
    pixels = values.astype(np.float32)
    path = written(tmp_path / "a.tif", np.stack([pixels] * 3, axis=-1) if colour else pixels)
    picture = decode_picture(path, SIDE, "squash", PixelLimits())
    assert np.abs(picture.pixels[..., 1] - expected).max() <= 0.7
    assert picture.depth == name
    assert picture_size(path) == SIDE


def test_not_a_number_and_infinities_become_the_minimum(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32).copy()
    values[5, :3] = np.nan, np.inf, -np.inf
    pixels = grey(written(tmp_path / "a.tif", values))
    assert pixels[5, :3].tolist() == [0, 0, 0]
    assert pixels[-1, -1] == 255


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((RAMP * 4095).astype(np.uint16), "a.png"),
        ((RAMP * 2000 - 1000).astype(np.int16), "a.tif"),
        ((RAMP * 2000 - 1000).astype(np.float32), "a.tif"),
        ((RAMP * 1_000_000).astype(np.int32), "a.tif"),
        (np.stack([RAMP * 4095] * 3, axis=-1).astype(np.uint16), "a.png"),
    ],
)
@pytest.mark.parametrize("window", [[-500, 700.5], [1000, 3000], "percentiles", {"percentiles": [10, 90]}])
def test_a_window_is_that_of_numpy(tmp_path: Path, values: Array, name: str, window: object) -> None:
    path = written(tmp_path / name, values)
    bounds = {"percentiles": [0.5, 99.5]} if window == "percentiles" else window
    low, high = np.percentile(values, bounds["percentiles"]) if isinstance(bounds, dict) else bounds
    first = values[..., 0] if values.ndim == 3 else values
    expected = np.clip((first.astype(float) - low) / (high - low), 0, 1) * 255
    assert np.abs(grey(path, window) - expected).max() <= 0.51


def test_a_window_leaves_8_bits_alone_and_a_constant_picture_black(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.png", (RAMP * 255).astype(np.uint8))
    assert np.array_equal(grey(plain, [0, 10]), (RAMP * 255).astype(np.uint8))
    assert grey(written(tmp_path / "b.png", np.full(SIDE, 900, np.uint16)), "percentiles").max() == 0


@pytest.mark.parametrize("value", ["auto", None, [0, 80], "percentiles", {"percentiles": [1, 99]}])
def test_windows_are_stored_as_they_are_read(value: object) -> None:
    window = parse_window(value)
    assert parse_window(window_to_plain(window)) == window
    stored = {"image_size": [8, 8], "resize": "squash", "pixel_range": "used", "window": window_to_plain(window)}
    assert ImagePreprocessing.from_dict(stored).limits.window == window


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("lung", "must be auto, "),
        ([1], "must be auto, "),
        ([True, 2], "must be auto, "),
        ({"percentile": [1, 2]}, "must be auto, "),
        ([float("nan"), 2], "must be auto, "),
        ([3, 3], "a lower and a higher value"),
        ({"percentiles": [1, 101]}, "0 to 100"),
    ],
)
def test_wrong_windows_are_explained(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_window(value)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_colours_of_a_narrow_range_keep_their_contrast(tmp_path: Path, suffix: str) -> None:
    values = (30_000 + RAMP * 2000).astype(np.uint16)
    pixels = grey(written(tmp_path / f"a{suffix}", np.stack([values] * 3, axis=-1)))
    assert np.abs(pixels - RAMP * 255).max() <= 1.2  # of whole values


def test_deep_grey_with_transparency_keeps_its_contrast(tmp_path: Path) -> None:
    values = (RAMP * 4095).astype(np.uint16)
    rows = b"".join(b"\0" + np.stack([row, np.full_like(row, 65535)], -1).astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 16, 4, 0, 0, 0)
    path = tmp_path / "la.png"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    assert np.abs(grey(path) - RAMP * 255).max() <= 1.2


def tiff_of(path: Path, rgb: Array, orientation: int) -> Path:
    """An uncompressed TIFF of (H, W, 3) pixels with its orientation, which OpenCV does not write."""
    height, width, _ = rgb.shape
    bits, kind = rgb.dtype.itemsize * 8, 3 if rgb.dtype.kind == "f" else 1
    start = 8 + 2 + 12 * 11 + 4
    tags = [(256, width), (257, height), (258, start), (259, 1), (262, 2), (273, start + 12), (274, orientation)]
    tags += [(277, 3), (278, height), (279, rgb.nbytes), (339, start + 6)]
    counts = {258: 3, 339: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag == 279 else 3, counts.get(tag, 1), n) for tag, n in tags)
    behind = struct.pack("<6H", *[bits] * 3, *[kind] * 3)
    path.write_bytes(struct.pack("<4sIH", b"II*\0", 8, 11) + entries + b"\0" * 4 + behind + rgb.tobytes())
    return path


@pytest.mark.parametrize("values", [np.uint16(RAMP * 4095), np.float32(RAMP)])
def test_a_turned_tiff_of_deep_colours_is_turned_once(tmp_path: Path, values: Array) -> None:
    rgb = np.stack([values[:32], values[:32] / 2, values[:32] / 4], axis=-1).astype(values.dtype)
    upright = decode(tiff_of(tmp_path / "upright.tif", rgb, 1), (32, 64)).astype(int)
    turned = tiff_of(tmp_path / "turned.tif", rgb, 6)
    assert upright.max() >= 120
    assert picture_size(turned) == (64, 32)
    assert np.abs(decode(turned, (64, 32)) - np.rot90(upright, -1)).max() <= 1


def by_pydicom(path: str) -> npt.NDArray[np.float64]:
    dataset = pydicom.dcmread(path)
    return np.asarray(apply_modality_lut(dataset.pixel_array, dataset), dtype=np.float64)


def test_dicom_without_a_window_goes_from_minimum_to_maximum() -> None:
    path = get_testdata_file("CT_small.dcm", download=False)
    values = by_pydicom(path)
    picture = decode_picture(path, values.shape, "squash", PixelLimits())
    assert np.abs(picture.pixels[..., 0] - (values - values.min()) / np.ptp(values) * 255).max() <= 1
    assert picture.depth == "minimum to maximum"
    assert picture_size(path) == (128, 128)


def test_dicom_is_seen_under_its_own_window_or_the_given_one(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.WindowCenter, dataset.WindowWidth = [40, 400], [400, 1500]
    path = tmp_path / "scan"  # without a suffix
    dataset.save_as(path)
    shown = np.asarray(apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset))
    low = float(dataset.RescaleIntercept) + float(dataset.RescaleSlope) * -(2**15)
    expected = (shown - low) / (float(dataset.RescaleSlope) * (2**16 - 1)) * 255  # pydicom maps to the stored bits
    picture = decode_picture(path, (128, 128), "squash", PixelLimits())
    assert np.abs(picture.pixels[..., 0] - expected).max() <= 1
    assert picture.depth == "the window of the file"
    values = by_pydicom(str(path))
    given = np.clip((values + 160) / 400, 0, 1) * 255
    limits = PixelLimits(window=Window(-160, 240))
    assert np.abs(decode(path, (128, 128), limits=limits)[..., 0] - given).max() <= 0.51
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.save_as(path)
    assert np.abs(decode(path, (128, 128), limits=limits)[..., 0] - (255 - given)).max() <= 0.51


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT"])
def test_functions_of_windows_are_those_of_pydicom(tmp_path: Path, function: str) -> None:
    dataset = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 600, 1600, function
    path = tmp_path / "a.dcm"
    dataset.save_as(path)
    shown = np.asarray(apply_voi_lut(dataset.pixel_array, dataset), dtype=np.float64)
    low, high = (-(2**15), 2**15 - 1) if dataset.PixelRepresentation else (0, 2**dataset.BitsStored - 1)
    expected = (shown - low) / (high - low) * 255
    assert np.abs(decode(path, (64, 64))[..., 0] - expected).max() <= 1


@pytest.mark.parametrize(
    "name", ["SC_rgb_rle.dcm", "SC_rgb_rle_16bit_2frame.dcm", "examples_ybr_color.dcm", "examples_palette.dcm"]
)
def test_colours_of_dicom_are_those_of_pydicom(name: str) -> None:
    path = get_testdata_file(name, download=False)
    assert path is not None
    dataset = pydicom.dcmread(path)
    values = pydicom.pixels.pixel_array(path, index=0)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = pydicom.pixels.apply_color_lut(values, dataset)
    deep = values.dtype == np.uint16
    pixels = decode(path, values.shape[:2]).astype(int)
    assert np.abs(pixels - (values // 257 if deep else values)).max() <= 1


@pytest.mark.parametrize("name", ["reportsi.dcm", "rtstruct.dcm"])
def test_dicom_without_pixels_is_named(name: str) -> None:
    with pytest.raises(BrokenImage, match="without pixels"):
        decode(get_testdata_file(name, download=False), SIDE)


def test_a_compression_without_a_package_is_named() -> None:
    with pytest.raises(BrokenImage, match="compressed as JPEG-LS"):
        decode(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False), SIDE)


def test_dicom_without_pydicom_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "find_spec", lambda name: None)
    path = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    with pytest.raises(BrokenImage, match=r"pip install 'foldtune\[dicom\]'"):
        decode(path, SIDE)
    assert dicom.unreadable_files([Path("a.png"), path])[0].endswith("foldtune[dicom]'")
    monkeypatch.undo()
    assert dicom.unreadable_files([path]) == []


def test_truncated_dicom_is_broken(tmp_path: Path) -> None:
    whole = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    for length in (133, 400, len(whole) // 2):
        path = tmp_path / f"{length}.dcm"
        path.write_bytes(whole[:length])
        with pytest.raises(BrokenImage) as caught:
            decode(path, SIDE)
        assert "\n" not in caught.value.reason


def test_every_form_of_the_made_pictures_keeps_its_contrast(tmp_path: Path) -> None:
    """All saved from one picture, whose grey is the reference."""
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    rgb = np.asarray(Image.fromarray(rgb).resize(SIDE, Image.Resampling.BICUBIC))
    reference = np.asarray(Image.fromarray(rgb).convert("L"))
    files = {
        "twelve.png": Image.fromarray(reference.astype(np.uint16) * 16),
        "sixteen.tif": Image.fromarray(reference.astype(np.uint16) * 257),
        "float.tif": Image.fromarray(reference.astype(np.float32) / 255),
        "int32.tif": Image.fromarray(reference.astype(np.int32)),
    }
    for name, image in files.items():
        image.save(tmp_path / name)
        assert np.abs(grey(tmp_path / name) - reference).max() <= 1, name
    assert len(os.listdir(tmp_path)) == len(files)
