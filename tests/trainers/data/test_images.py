from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foldtune.errors import BrokenImage
from foldtune.trainers.data.images import decode

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
    with pytest.raises(BrokenImage, match="8 or 16 bits"):
        decode(save(constant("F", 0.5), tmp_path / "f.tif"), SIZE)


def test_unknown_resize_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'squash'"):
        decode(tmp_path / "a.png", SIZE, resize="squish")
