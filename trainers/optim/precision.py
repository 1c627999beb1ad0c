"""Mixed precision: the number type of the forward pass on a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch


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
    on_gpu = device.type == "cuda"
    if amp == "auto":
        amp = _fastest() if on_gpu else "off"
    if amp == "fp16" and not on_gpu:
        amp = "off"
    return Precision(device.type, {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp])


def _fastest() -> str:
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
