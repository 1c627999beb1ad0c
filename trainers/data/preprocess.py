"""Steps that change every image once, after it has its working size and before it is cached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from foldtune.errors import Problem, SettingsError, unknown
from foldtune.trainers.components import number, read_component
from foldtune.trainers.data.images import Uint8Array


class Step(Protocol):
    """A frozen dataclass of plain parameters that can be called."""

    name: ClassVar[str]

    def __call__(self, image: Uint8Array) -> Uint8Array:
        """Change an RGB image (H, W, 3); its size stays."""


@dataclass(frozen=True)
class Clahe:
    """Contrast-limited adaptive histogram equalisation of the lightness (L of CIELAB); colours stay.

    Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV (1994), as OpenCV has it.

    Attributes:
        clip_limit: contrast amplification at most, in multiples of a flat histogram's bin.
        tile: the image is parted into tile x tile regions with a histogram each. 0, the default, makes them about
            12 px wide, 2 to 8 a side: smaller ones show their edges, and have too few pixels for a histogram.
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


STEPS: Mapping[str, type[Clahe]] = MappingProxyType({Clahe.name: Clahe})


def parse_steps(value: object) -> tuple[Step, ...]:
    """Read one step or a list: ``clahe``, ``{clahe: {tile: 4}}``, or what `steps_to_list` gives; None is no step.

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
    """``{clahe: {tile: 4}}`` as ``{name: clahe, tile: 4}``; everything else as it is."""
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
    """Plain values, which `parse_steps` reads."""
    return [{"name": step.name, **asdict(step)} for step in steps]  # type: ignore[call-overload]


def apply_steps(steps: Sequence[Step], image: Uint8Array) -> Uint8Array:
    """The image after every step, in order."""
    for step in steps:
        image = step(image)
    return image
