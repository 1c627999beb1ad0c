"""Preprocessing of image files: their working size, and steps that change each resized image once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.components import number, read_component
from foldtune.trainers.images.deep_pixels import DEFAULT_LIMITS, MAX_MEGAPIXELS, PixelLimits, parse_window
from foldtune.trainers.images.reading import Picture, Uint8Array, decode_picture
from foldtune.wording import unknown


@dataclass(frozen=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation of the lightness (L of CIELAB); colours are kept.

    Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV (1994), as implemented by OpenCV.

    Attributes:
        clip_limit: maximum of a histogram's bin, in multiples of a flat histogram's.
        tile: number of regions a side, each with a histogram of its own. 0, the default, makes them about 12 px wide,
            2 to 8 a side: smaller ones show their edges, and have too few pixels for a histogram.
    """

    name: ClassVar[str] = "clahe"

    clip_limit: float = number(2.0, 0.0, 100.0, open_low=True)
    tile: int = number(0, 0, 64)

    def __call__(self, image: Uint8Array) -> Uint8Array:
        import cv2

        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        tile = self.tile or max(2, min(round(min(image.shape[:2]) / 12), 8))
        lab[..., 0] = cv2.createCLAHE(self.clip_limit, (tile, tile)).apply(lab[..., 0])
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)  # type: ignore[return-value]


Step: TypeAlias = Clahe
"""A callable frozen dataclass of plain parameters, from an RGB image (H, W, 3) to one of the same size."""
STEPS: Mapping[str, type[Step]] = MappingProxyType({Clahe.name: Clahe})


def parse_steps(value: object) -> tuple[Step, ...]:
    """Return the steps of one step or a list: ``clahe``, ``{clahe: {tile: 4}}``, or as `steps_to_list` writes them.

    Raises:
        SettingsError: every unknown step and wrong parameter.
    """
    given = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    steps: list[Step] = []
    problems: list[Problem] = []
    for each in given:
        component, found = read_component("step", STEPS, _with_name(each), "")
        problems += [Problem(problem.path.lstrip("."), problem.message) for problem in found]
        if component is not None:
            steps.append(STEPS[component.name](**component.params))
    if problems:
        raise SettingsError(problems)
    return tuple(steps)


def _with_name(value: object) -> object:
    """Return ``{clahe: {tile: 4}}`` as ``{name: clahe, tile: 4}``, everything else unchanged."""
    if not isinstance(value, Mapping) or "name" in value or len(value) != 1:
        return value
    ((name, params),) = value.items()
    if params is not None and not isinstance(params, Mapping):
        wrong = (
            f"must be a mapping of parameters, not {params!r}" if name in STEPS else unknown("step", str(name), STEPS)
        )
        raise SettingsError([Problem(str(name), wrong)])
    return {**(params or {}), "name": str(name)}


def steps_to_list(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return plain values, which `parse_steps` reads."""
    return [{"name": step.name, **asdict(step)} for step in steps]


@dataclass(frozen=True)
class ImagePreprocessing:
    """How an image file becomes an array.

    Attributes:
        size: (height, width) in pixels.
        resize: how an image is fitted into its size, one of ``trainers.images.reading.RESIZES``.
        steps: changes of each resized image, in order.
        limits: what becomes of pixels that are deep or many.
    """

    size: tuple[int, int]
    resize: str = "squash"
    steps: tuple[Step, ...] = ()
    limits: PixelLimits = DEFAULT_LIMITS

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the preprocessing of the keys `image_size`, `resize` and (optional) `preprocess` and the limits'.

        Models that were stored without limits saw all deep pixels as 16 bits.
        """
        height, width = values["image_size"]
        window = parse_window(values.get("window"))
        limits = PixelLimits(values.get("pixel_range", "uint16"), values.get("max_megapixels", MAX_MEGAPIXELS), window)
        return cls((height, width), values["resize"], parse_steps(values.get("preprocess")), limits)

    def read(self, path: str | PathLike[str]) -> Uint8Array:
        """Return the RGB array (height, width, 3) of an image file.

        Raises:
            BrokenImage: a file that cannot be decoded whole.
        """
        return self.read_picture(path).pixels

    def read_picture(self, path: str | PathLike[str]) -> Picture:
        """Return what `read` returns, and what is worth knowing of its file."""
        picture = decode_picture(path, self.size, self.resize, self.limits)
        return picture._replace(pixels=reduce(lambda pixels, step: step(pixels), self.steps, picture.pixels))
