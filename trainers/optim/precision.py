"""Mixed precision: the number type of the forward pass on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from foldtune.trainers.runtime import cpu_has_bf16


@dataclass(frozen=True)
class Precision:
    """`dtype` None is plain float32; float16's range is too small for gradients: `scaled`."""

    device_type: str
    dtype: torch.dtype | None

    @property
    def scaled(self) -> bool:
        return self.dtype is torch.float16

    def autocast(self) -> AbstractContextManager[object]:
        """Context of a forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device_type, dtype=self.dtype)


def choose_precision(amp: str, device: torch.device) -> Precision:
    """Precision for "auto", "off", "bf16" or "fp16".

    auto: bf16 on a GPU that computes in it, fp16 on an older GPU, float32 elsewhere. A CPU takes bf16 where
    it is named; fp16 there is float32, which is faster and loses nothing.
    """
    if amp == "auto":
        amp = computed(device)[0]
    if amp == "fp16" and device.type != "cuda":
        amp = "off"
    return Precision(device.type, {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp])


def computed(device: torch.device) -> tuple[str, str] | tuple[str]:
    """Return the values of `amp` in which a device computes without imitation, that of "auto" first.

    Of a GPU's two half precisions it is the one that needs no scaling, where it has both.
    """
    if device.type == "cuda":
        return ("bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"), "off"
    return ("off", "bf16") if cpu_has_bf16() else ("off",)
