"""The base of all losses, which registers them by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, nn

Counts: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

ONE_CLASS = "one class an image (multiclass, ordinal)"
BINARY_LIKE = "labels that are on or off (binary, multilabel)"
ORDERED = "classes in an order (ordinal)"
SPATIAL = "regions of an image (text_detection)"

LOSSES: dict[str, type[Loss]] = {}
"""Name -> loss: filled by the definitions of the classes, in their order."""


class Loss(ABC):
    """A loss: its parameters, as the fields of a frozen dataclass, and its formula.

    A class is declared with keywords, ``class SigmoidFocal(Loss, name="sigmoid_focal", needs=BINARY_LIKE, …)``.
    """

    name: ClassVar[str]
    """Explicit name, unique, which a run stores."""
    field_name: ClassVar[str]
    """Name of the field, shared by the forms of one loss: ``focal`` is the sigmoid form where a task needs that."""
    needs: ClassVar[str]
    """Form of the targets: ONE_CLASS, BINARY_LIKE, ORDERED or SPATIAL."""
    linear: ClassVar[bool]
    """Whether it is linear in the label, so that the loss of a mixed label is the mixed loss of the two labels."""
    default: ClassVar[bool]
    """Whether it is the one that a task with such targets has by default."""

    def __init_subclass__(
        cls, *, name: str, needs: str, field_name: str = "", linear: bool = False, default: bool = False
    ) -> None:
        cls.name, cls.needs, cls.field_name = name, needs, field_name or name
        cls.linear, cls.default = linear, default
        LOSSES[name] = cls

    def constants(self, class_counts: Counts) -> Mapping[str, Floats | Tensor | float]:
        """What follows from `Task.class_counts` of the original training fold, such as class weights."""
        return {}

    @abstractmethod
    def __call__(self, *args: Any, **constants: Any) -> Tensor:
        """(B,) float32 losses of logits and targets; arrays of `constants` are float32 tensors on their device."""

    def build(self, class_counts: Counts) -> nn.Module:
        """The loss as a module, whose buffers are its constants."""
        from foldtune.trainers.losses.module import LossModule

        return LossModule(self, self.constants(class_counts))


def losses_for(*needs: str) -> tuple[str, ...]:
    """Names of the losses for these forms of targets, form by form, each form's default first."""
    return tuple(name for need in needs for name in sorted(_of(need), key=lambda name: not LOSSES[name].default))


def _of(need: str) -> list[str]:
    return [name for name, loss in LOSSES.items() if loss.needs == need]


def by_any_name(names: Iterable[str]) -> dict[str, str]:
    """Accepted name -> explicit name, for a task with the losses `names`: the field's names, then the explicit ones.

    >>> by_any_name(["bce", "sigmoid_focal", "asymmetric"])
    {'cross_entropy': 'bce', 'focal': 'sigmoid_focal', 'asymmetric': 'asymmetric', 'bce': 'bce', 'sigmoid_focal': \
'sigmoid_focal'}
    """
    names = tuple(names)
    return {LOSSES[name].field_name: name for name in names} | {name: name for name in names}
