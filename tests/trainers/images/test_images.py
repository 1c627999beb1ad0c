from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from foldtune.errors import BrokenImage
from foldtune.trainers.images.deep_pixels import PixelLimits
from foldtune.trainers.images.reading import image_suffixes, picture_size
from tests.images import decode

SIZE = (8, 8)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def constant(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (16, 12), colour)


@pytest.mark.parametrize(
    ("mode", "colour", "name", "expected"),
    [
        ("L", 77, "grey.png", (77, 77, 77)),
        ("1", 1, "bits.png", (255, 255, 255)),
        ("RGB", (10, 200, 30), "rgb.png", (10, 200, 30)),
        ("RGB", (10, 200, 30), "rgb.bmp", (10, 200, 30)),
        ("RGB", (10, 200, 30), "rgb.tif", (10, 200, 30)),
        ("RGBA", (10, 200, 30, 255), "opaque.png", (10, 200, 30)),
        ("RGBA", (10, 200, 30, 0), "clear.png", (255, 255, 255)),
        ("LA", (0, 0), "clear_grey.png", (255, 255, 255)),
        ("I;16", 257 * 90, "deep.png", (90, 90, 90)),
        ("I;16", 257 * 90, "deep.tif", (90, 90, 90)),
    ],
)
def test_decode_turns_every_pixel_format_into_rgb(
    tmp_path: Path, mode: str, colour: object, name: str, expected: tuple[int, int, int]
) -> None:
    pixels = decode(save(constant(mode, colour), tmp_path / name), SIZE)
    assert pixels.shape == (8, 8, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == expected).all()


def test_decode_uses_the_colours_of_a_palette_and_its_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (16, 12), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    assert (decode(save(image, tmp_path / "a.png"), SIZE) == (12, 34, 56)).all()
    assert (decode(save(image, tmp_path / "b.png", transparency=1), SIZE) == 255).all()


def test_decode_converts_cmyk(tmp_path: Path) -> None:
    pixels = decode(save(constant("CMYK", (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95), SIZE)
    assert np.allclose(pixels, (255, 0, 0), atol=6)


def test_decode_applies_exif_orientation(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16))
    image.paste((255, 255, 255), (0, 0, 16, 16))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: shown turned by 90 degrees clockwise, left becomes top
    pixels = decode(save(image, tmp_path / "a.jpg", exif=exif, quality=95), (32, 16))
    assert pixels[:12].mean() > 250
    assert pixels[20:].mean() < 5


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_every_orientation_is_that_of_pillow(tmp_path: Path, orientation: int, suffix: str) -> None:
    pixels = np.arange(16 * 32 * 3, dtype=np.uint8).reshape(16, 32, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(pixels), tmp_path / f"a{suffix}", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert np.array_equal(decode(path, expected.shape[:2]), expected)
    assert picture_size(path) == expected.shape[:2]


@pytest.mark.parametrize(("megabytes", "whole"), [(2, True), (100, False)])
def test_a_long_text_in_a_png_spoils_no_picture_and_a_bomb_is_refused(
    tmp_path: Path, megabytes: int, whole: bool
) -> None:
    texts = PngInfo()
    texts.add_text("XML:com.adobe.xmp", "a" * (megabytes << 20), zip=True)
    path = save(Image.new("RGB", (8, 8), "red"), tmp_path / "a.png", pnginfo=texts)
    if whole:
        assert (decode(path, (8, 8)) == (255, 0, 0)).all()
        return
    with pytest.raises(BrokenImage, match="too large"):
        decode(path, (8, 8))


def test_resize_modes_keep_or_squash_the_aspect_ratio(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), "white")
    image.paste((200, 0, 0), (0, 0, 10, 20))  # a red quarter at the left
    path = save(image, tmp_path / "a.png")
    squash = decode(path, (20, 20), resize="squash")
    crop = decode(path, (20, 20), resize="crop")
    pad = decode(path, (20, 20), resize="pad")
    assert (squash[:, :3] == (200, 0, 0)).all()  # a quarter of 20, less the blurred edge
    assert (squash[:, 7:] == 255).all()
    assert (crop == 255).all()  # the centre square begins where red ends
    assert (pad[:4] == 0).all()  # bars above and below
    assert (pad[-4:] == 0).all()
    assert (pad[8:12, :3] == (200, 0, 0)).all()


def test_size_is_height_then_width(tmp_path: Path) -> None:
    path = save(constant("RGB", "white"), tmp_path / "a.png")
    assert {decode(path, (6, 10), resize=mode).shape for mode in ("squash", "crop", "pad")} == {(6, 10, 3)}


def test_a_large_jpeg_decodes_like_one_resized_in_full(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 1024, dtype=np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (768, 1)), np.tile(ramp[:768, None], (1, 1024)), np.full((768, 1024), 90, np.uint8)]
    )
    path = save(Image.fromarray(pixels.transpose(1, 2, 0).copy()), tmp_path / "a.jpg", quality=95)
    full = Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
    error = np.abs(decode(path, (64, 64)).astype(int) - np.asarray(full).astype(int))
    assert error.max() <= 3


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"not an image at all\n" * 50, "not an image"),
        (jpeg_bytes()[:900], "truncated"),
        (jpeg_bytes()[:30], "not an image|truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "not an image|broken|chunk"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
    ],
)
def test_damaged_files_are_broken_images_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(BrokenImage, match=f"(?i){reason}") as caught:
        decode(path, SIZE)
    assert caught.value.path == path
    assert caught.value.reason
    assert "\n" not in caught.value.reason


def test_folders_missing_files_and_unknown_ranges_are_broken_images(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(BrokenImage, match="not a regular file"):
        decode(tmp_path / "x.png", SIZE)
    with pytest.raises(BrokenImage, match="no such file"):
        decode(tmp_path / "y.png", SIZE)
    with pytest.raises(BrokenImage, match=r"no range in 16 bits; give data\.window"):
        decode(save(constant("F", 0.5), tmp_path / "f.tif"), SIZE, limits=PixelLimits("uint16"))
    with pytest.raises(BrokenImage, match=r"none of its .* is finite"):
        decode(save(constant("F", float("nan")), tmp_path / "nan.tif"), SIZE)


def test_unknown_resize_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'squash'"):
        decode(tmp_path / "a.png", SIZE, resize="squish")


def ramp(low: int, high: int, dtype: type) -> np.ndarray:
    return np.linspace(low, high, 64 * 64).reshape(64, 64).astype(dtype)


def written(path: Path, values: np.ndarray) -> Path:
    """A file of these pixels, of a depth that Pillow does not write."""
    assert cv2.imwrite(str(path), values)
    return path


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (ramp(0, 1023, np.uint16), "ten.png"),
        (ramp(0, 4095, np.uint16), "twelve.png"),
        (ramp(0, 4095, np.uint16), "twelve.tif"),
        (ramp(0, 65535, np.uint16), "sixteen.png"),
        (ramp(31_744, 36_000, np.uint16), "offset.png"),
        (ramp(0, 255, np.int32), "int32.tif"),
        (ramp(0, 1_000_000, np.int32), "wide.tif"),
        (ramp(-1000, 1000, np.int16), "signed.tif"),
        (ramp(-3000, -2000, np.int16), "negative.tif"),
        (ramp(0, 4095, np.float32) / 4095, "unit.tif"),
        (ramp(0, 4095, np.float32) / 40950, "small.tif"),
        (ramp(-1000, 1000, np.float64), "doubles.tif"),
    ],
)
def test_deep_grey_keeps_its_contrast(tmp_path: Path, values: np.ndarray, name: str) -> None:
    path = written(tmp_path / name, values)
    pixels = decode(path, (64, 64))[..., 0].astype(int)
    assert len(np.unique(pixels)) >= 128
    assert (np.diff(pixels.ravel()) >= 0).all()
    assert np.array_equal(decode(path, (64, 64))[..., 0], pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_deep_colours_keep_their_contrast(tmp_path: Path, suffix: str, channels: int) -> None:
    red = ramp(0, 4095, np.uint16)
    bgr = np.stack([red // 4, red // 2, red, np.full_like(red, 4095)][:channels], axis=-1)
    pixels = decode(written(tmp_path / f"rgb{suffix}", bgr), (64, 64)).astype(int)
    expected = np.stack([red, red // 2, red // 4], axis=-1).astype(int) * 255 // 4095
    assert np.abs(pixels - expected).max() <= 1


def test_full_16_bits_are_what_they_were(tmp_path: Path) -> None:
    values = ramp(0, 65535, np.uint16)
    grey = decode(written(tmp_path / "grey.png", values), (64, 64))
    assert np.array_equal(grey[..., 0], values // 257)
    rgb = decode(written(tmp_path / "rgb.png", np.stack([values, values[::-1], values.T], axis=-1)), (64, 64))
    assert np.array_equal(rgb[..., 2], values >> 8)


def test_all_deep_pixels_can_be_seen_as_16_bits(tmp_path: Path) -> None:
    values = ramp(0, 4095, np.uint16)
    path = written(tmp_path / "twelve.png", values)
    assert np.array_equal(decode(path, (64, 64), limits=PixelLimits("uint16"))[..., 0], values // 257)
    with pytest.raises(ValueError, match="did you mean 'uint16'"):
        PixelLimits("uint61")


def test_unsigned_32_bits_do_not_turn_negative(tmp_path: Path) -> None:
    values = np.array([[0, 2**31], [2**32 - 1, 2**30]], dtype=np.uint32)
    header = struct.pack("<4sI", b"II*\0", 8)
    tags = [(256, 4, 2), (257, 4, 2), (258, 3, 32), (259, 3, 1), (262, 3, 1), (273, 4, 0), (278, 4, 2), (279, 4, 16)]
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, start if tag == 273 else n) for tag, kind, n in tags)
    path = tmp_path / "unsigned.tif"
    path.write_bytes(header + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + values.astype("<u4").tobytes())
    assert decode(path, (2, 2))[..., 0].tolist() == [[0, 127], [255, 63]]


def exif_with(entries: bytes, count: int, behind: bytes) -> bytes:
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries + b"\0" * 4 + behind


ON_ITS_SIDE = struct.pack("<HHII", 0x112, 3, 1, 6)


BROKEN_MAKE = struct.pack("<HHII", 0x10F, 2, 400, 2**31 - 1)  # a text beyond the file, before the orientation


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif",
    [
        exif_with(ON_ITS_SIDE + struct.pack("<HHII", 0x11A, 10, 1, 38), 2, struct.pack("<ii", -1, 0)),  # -1/0
        exif_with(ON_ITS_SIDE + struct.pack("<HHII", 0x11A, 5, 1, 38), 2, struct.pack("<II", 1, 0)),  # 1/0
        exif_with(ON_ITS_SIDE + struct.pack("<HHII", 0x829A, 10, 1, 2**31), 2, b""),  # beyond the file
        exif_with(ON_ITS_SIDE + struct.pack("<HHII", 0x9286, 99, 7, 38), 2, b"?"),  # of a type that is none
        exif_with(ON_ITS_SIDE, 400, b""),  # fewer entries than it counts
        exif_with(BROKEN_MAKE + ON_ITS_SIDE, 2, b""),
        exif_with(struct.pack("<HHII", 0x100, 12, 3, 2**31) + BROKEN_MAKE + ON_ITS_SIDE, 3, b""),
    ],
)
def test_metadata_with_a_bad_number_leaves_a_sound_picture(tmp_path: Path, exif: bytes) -> None:
    image = Image.new("RGB", (40, 20), "red")
    image.paste((0, 0, 255), (0, 0, 20, 20))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    whole = buffer.getvalue()
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + whole[2:])
    pixels = decode(path, (40, 20)).astype(int)
    assert pixels[3, 10, 2] > 200
    assert pixels[-3, 10, 0] > 200
    assert picture_size(path) == (40, 20)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0XX*\0\0\0\0\0", exif_with(struct.pack("<HHII", 0x112, 3, 1, 99), 1, b"")]
)
def test_metadata_without_a_turn_leaves_the_picture_upright(tmp_path: Path, exif: bytes) -> None:
    path = save(constant("RGB", "white"), tmp_path / "a.jpg", exif=exif)
    assert decode(path, (12, 16)).min() > 250
    assert picture_size(path) == (12, 16)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> PixelLimits:
    """Limits, Pillow's too, that a picture of 200x100 pixels exceeds four times."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    return PixelLimits(max_megapixels=0.005)


@pytest.mark.parametrize("options", [{}, {"quality": 40}])
def test_a_jpeg_beyond_the_limit_is_decoded_at_a_fraction(
    tmp_path: Path, small_limit: PixelLimits, options: dict[str, int]
) -> None:
    path = save(Image.new("RGB", (200, 100), "teal"), tmp_path / "a.jpg", **options)
    assert np.allclose(decode(path, (8, 8), limits=small_limit), (0, 128, 128), atol=4)
    assert picture_size(path) == (100, 200)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.tif", {}), ("a.jpg", {"progressive": True})])
def test_what_decodes_whole_alone_is_refused_with_the_key_that_allows_it(
    tmp_path: Path, small_limit: PixelLimits, name: str, options: dict[str, bool]
) -> None:
    path = save(Image.new("RGB", (200, 100), "teal"), tmp_path / name, **options)
    with pytest.raises(BrokenImage, match=r"data\.max_megapixels allows 0\.005: raise it"):
        decode(path, (8, 8), limits=small_limit)
    assert decode(path, (8, 8), limits=PixelLimits(max_megapixels=0.02)).shape == (8, 8, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_suffixes_of_all_formats_that_are_read() -> None:
    assert {".jpg", ".jpe", ".jfif", ".png", ".tif", ".webp", ".pgm", ".jp2"} <= image_suffixes()
    assert not {".eps", ".pdf", ".txt", ""} & image_suffixes()
