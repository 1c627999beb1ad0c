"""The network and the loss: their shapes, their figures, and images without text."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from foldtune.errors import SettingsError  # noqa: E402
from foldtune.trainers.detection.model import build_detector, check_encoder, find_levels  # noqa: E402
from foldtune.trainers.losses.differentiable_binarization import DBLoss, balanced_bce, dice, masked_l1  # noqa: E402


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet10t", (64, 96)),
        ("mobilenetv3_small_050", (70, 99)),
        pytest.param("swin_s3_tiny_224", (64, 128), marks=pytest.mark.slow),
    ],
)
def test_any_encoder_gives_a_map_of_the_images_size(name: str, size: tuple[int, int]) -> None:
    model = build_detector(name)
    images = torch.rand(2, 3, *size)
    assert model.train()(images).shape == (2, 2, *size)
    with torch.inference_mode():
        assert model.eval()(images).shape == (2, 1, *size)


def test_models_without_maps_are_refused_with_those_that_have_them() -> None:
    assert find_levels("vit_tiny_patch16_224") is None
    (problem,) = check_encoder("vit_tiny_patch16_224")
    assert "resnet*" in problem.message
    with pytest.raises(SettingsError, match="gives no maps at stride 4"):
        build_detector("vit_tiny_patch16_224")
    with pytest.raises(SettingsError, match="did you mean"):
        build_detector("resnet11t")


def test_cross_entropy_takes_three_hard_negatives_for_each_pixel_of_text() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 20, 30, generator=generator)
    wanted, counted = torch.zeros(1, 20, 30), torch.ones(1, 20, 30)
    wanted[0, 5:9, 5:15] = 1
    counted[0, 15:] = 0
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    negatives = losses[(wanted == 0) & (counted == 1)].sort(descending=True).values[:120]
    expected = (losses[wanted == 1].sum() + negatives.sum()) / (40 + 120)
    assert balanced_bce(logits, wanted, counted).item() == pytest.approx(expected.item())


def test_the_loss_of_an_image_without_text_uses_its_hardest_pixels_only() -> None:
    logits, none = torch.zeros(2, 20, 30), torch.zeros(2, 20, 30)
    logits[0, 0, :6] = 3.0  # six of 600 pixels count
    assert balanced_bce(logits, none, none + 1)[0].item() == pytest.approx(np.log1p(np.exp(3.0)))
    assert balanced_bce(logits, none, none).tolist() == [0.0, 0.0]  # nothing counts
    assert dice(logits.sigmoid(), none, none + 1).tolist() == [0.0, 0.0]
    assert masked_l1(logits, none, none).tolist() == [0.0, 0.0]


def test_dice_and_l1_have_their_figures() -> None:
    values, wanted = torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert dice(values, wanted, torch.ones(1, 2, 2)).item() == pytest.approx(1 - 2 * 1.5 / (2.5 + 2), abs=1e-6)
    assert dice(values, wanted, torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])).item() == pytest.approx(1 - 3 / 3.5, abs=1e-6)
    assert masked_l1(values, wanted, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])).item() == pytest.approx(0.75)


def test_the_loss_is_its_parts_weighted_in_float32_and_each_image_stands_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 16, 16, generator=generator)
    maps = {name: (torch.rand(3, 16, 16, generator=generator) > 0.7).to(torch.uint8) for name in ("text", "border")}
    maps |= {"counted": torch.ones(3, 16, 16, dtype=torch.uint8), "threshold": torch.full((3, 16, 16), 0.3).half()}
    maps["text"][2] = 0
    whole = DBLoss(1.0, 10.0, 1.0)(logits, maps)
    parts = [DBLoss(*weights)(logits, maps) for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert whole.shape == (3,)
    assert whole.dtype == torch.float32
    assert torch.allclose(whole, parts[0] + 10 * parts[1] + parts[2])
    assert parts[2][2] == 0
    alone = DBLoss(1.0, 10.0, 1.0)(logits[1:2], {name: values[1:2] for name, values in maps.items()})
    assert torch.allclose(alone, whole[1:2])
    half = DBLoss(1.0, 10.0, 1.0)(logits.bfloat16(), maps)
    assert half.dtype == torch.float32
    assert torch.isfinite(half).all()
