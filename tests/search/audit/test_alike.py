"""The most similar embeddings, beside all similarities; and what enters a network's classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.search.audit import alike
from foldtune.search.audit.alike import nearest_pairs


@pytest.mark.parametrize("block", [7, 1024])
def test_the_nearest_pairs_are_those_of_all_similarities(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(alike, "_BLOCK", block)
    embeddings = np.random.default_rng(0).normal(3, [1, 2, 3, 4, 5, 60], (40, 6)).astype(np.float32)
    left, lengths, right = np.linalg.svd(embeddings - embeddings.mean(axis=0), full_matrices=False)
    variances = lengths**2 / 40
    unit = left * lengths / np.sqrt(variances + 0.1 * variances.mean()) @ right
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    usual = np.sort(cosines - 9 * np.eye(40), axis=1)[:, -10:].mean(axis=1)
    values = cosines - (usual[:, None] + usual) / 2
    pairs = sorted(((float(values[i, j]), i, j) for i in range(40) for j in range(i + 1, 40)), reverse=True)[:15]
    first, second, found = nearest_pairs(embeddings, 15)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(i, j) for _, i, j in pairs]
    np.testing.assert_allclose(found, [value for value, _, _ in pairs], atol=1e-5)


def test_images_of_a_crowd_need_more_than_two_that_stand_apart() -> None:
    """Fifty alike in all but noise, and one pair between two other clusters, whose cosine is less."""
    rng = np.random.default_rng(0)
    crowd = rng.normal(0, 0.02, (50, 8)) + np.eye(8)[0]
    others = rng.normal(0, 1, (48, 8))
    pair = rng.normal(0, 1, 8) + rng.normal(0, 0.1, (2, 8))
    first, second, _ = nearest_pairs(np.concatenate([crowd, others, pair]).astype(np.float32), 1)
    assert (int(first[0]), int(second[0])) == (98, 99)


def test_fewer_images_than_pairs() -> None:
    assert len(nearest_pairs(np.eye(3, dtype=np.float32), 20)[0]) == 3


def test_embeddings_enter_the_classifier(tmp_path: Path) -> None:
    import pandas as pd
    import torch

    from foldtune.trainers.inference.trained import trained_embeddings, trained_logits
    from foldtune.trainers.networks.weights import save_weights
    from foldtune.trainers.tasks import get_task
    from foldtune.trainers.tasks.network import create_model
    from foldtune.trainers.tasks.parsing import parse_settings

    task = get_task("multiclass").from_frame(pd.DataFrame({"label": ["a", "b", "c"]}), "label")
    settings = parse_settings({"model_name": "test_resnet"}, task)
    torch.manual_seed(0)
    model = create_model(task, settings, (32, 32))
    save_weights(model.state_dict(), tmp_path / "weights.safetensors")
    source: Any = Pixels(np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8))
    found = trained_embeddings(task, settings, tmp_path / "weights.safetensors", source)
    assert found is not None
    weight, bias = (each.detach().numpy() for each in (model.get_classifier().weight, model.get_classifier().bias))
    expected = trained_logits(task, settings, tmp_path / "weights.safetensors", source)
    np.testing.assert_allclose(found @ weight.T + bias, expected, atol=1e-4)


class Pixels:
    """Images of an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape = array.shape

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.array[rows]
