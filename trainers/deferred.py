"""Heavy packages, imported at the first use of an attribute: torch alone takes seconds.

For modules that are read without a training, too, such as registries and checks of a configuration.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import requests the newest version's number


class _Deferred:
    """A package, or with submodules of it as attributes, whether or not the package imports them itself.

    Unlike `importlib.util.LazyLoader` it leaves `sys.modules` as it is: SciPy uses every torch that it finds there.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        module = import_module(self._name)
        return getattr(module, attribute) if hasattr(module, attribute) else import_module(f"{self._name}.{attribute}")


if TYPE_CHECKING:
    import albumentations as albumentations
    import cv2 as cv2
    import timm as timm
    import torch as torch
    from torch.nn import functional as functional
else:
    albumentations, cv2, timm, torch = map(_Deferred, ("albumentations", "cv2", "timm", "torch"))
    functional = _Deferred("torch.nn.functional")
