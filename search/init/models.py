"""Models that this machine can search: small ones on CPUs, larger ones on a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from foldtune.trainers.runtime import choose_device


@dataclass(frozen=True)
class Models:
    """Names of timm models, the side in pixels that they are made for, and why these."""

    names: tuple[str, ...]
    side: int
    why: str
    on_gpu: bool


SMALL = Models(("resnet10t", "mobilenetv3_small_050"), 176, "small ones: this machine has no GPU", False)
LARGE = Models(("resnet34", "efficientnet_b0"), 224, "medium ones, for this machine's GPU", True)
SMALL_TEXT = Models(("mobilenetv3_small_050",), 960, "a small one: this machine has no GPU", False)
LARGE_TEXT = Models(("resnet18",), 960, "a medium one, for this machine's GPU", True)


def models_here(task: str) -> Models:
    """Return the models for a task on this machine."""
    on_gpu = choose_device(None).type == "cuda"
    if task == "text_detection":
        return LARGE_TEXT if on_gpu else SMALL_TEXT
    return LARGE if on_gpu else SMALL
