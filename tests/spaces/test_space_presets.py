"""The presets, and spaces that start from them."""

from __future__ import annotations

import pytest

from foldtune.errors import SpaceError
from foldtune.spaces import Space, expand_presets, list_presets

NAMES = ["finetune", "long_tail", "multiclass", "multilabel", "ordinal", "quick", "retinopathy", "text_detection"]


def test_presets_are_listed_with_a_line_each() -> None:
    presets = list_presets()
    assert list(presets) == NAMES
    assert all(20 < len(line) <= 120 and "\n" not in line for line in presets.values())


@pytest.mark.parametrize("name", NAMES)
def test_each_preset_is_a_conditional_space_whose_corners_can_be_built(name: str) -> None:
    space = Space.parse({"preset": name})
    assert space.is_conditional
    configs = [space.build(params) for _, params in space.corner_cases()]
    assert len(configs) > len(space.names())


# The components and parameters of trainings.
COMPONENTS = {
    "loss": {
        "cross_entropy": {"label_smoothing"},
        "weighted_cross_entropy": {"power", "label_smoothing"},
        "focal": {"gamma"},
        "class_balanced": {"beta", "gamma"},
        "logit_adjustment": {"tau"},
        "bce": {"power", "label_smoothing"},
        "sigmoid_focal": {"gamma", "alpha"},
        "asymmetric": {"gamma_neg", "gamma_pos", "clip"},
        "class_balanced_bce": {"beta", "gamma"},
        "coral": set(),
        "corn": set(),
        "sord": {"alpha", "power"},
        "db": {"bce", "border", "binary"},
    },
    "sampler": {"none": set(), "balanced": {"strength"}, "imbalanced": {"strength"}},
    "head": {"linear": set(), "mlp": {"units", "layers", "dropout"}},
    "augmentation": {
        "none": set(),
        "flip": {"flips"},
        **{name: {"strength", "flips"} for name in ("shift", "light", "medium", "heavy")},
        "custom": {"horizontal_flip", "rgb_shift", "iso_noise", "optical_distortion", "random_brightness"},
    },
    "lr_scheduler": {"cosine": {"warmup_epochs", "min_lr_ratio", "length"}, "plateau": {"factor", "patience"}},
    "postprocess": {None: {"prior_power", "threshold", "thresh", "box_thresh", "max_candidates", "unclip_ratio"}},
}
RANGES = {
    "lr": (1e-5, 1e-2),
    "weight_decay": (1e-5, 1e-1),
    "drop_rate": (0.0, 0.4),
    "label_smoothing": (0.0, 0.2),
    "gamma": (0.0, 3.0),
    "power": (0.0, 2.0),
    "alpha": (0.25, 5.0),
    "gamma_neg": (0.0, 6.0),
    "gamma_pos": (0.0, 1.0),
    "clip": (0.0, 0.1),
    "threshold": (0.05, 0.6),
    "tau": (0.0, 1.5),
    "beta": (0.9, 0.9999),
    "strength": (0.0, 1.0),
    "prior_power": (0.0, 1.5),
    "thresh": (0.2, 0.6),
    "box_thresh": (0.3, 0.9),
}


@pytest.mark.parametrize("name", NAMES)
def test_presets_use_known_components_and_sound_ranges(name: str) -> None:
    space = Space.parse({"preset": name})
    for _, params in space.corner_cases():
        config = space.build(params)
        for key, component in config.items():
            if isinstance(component, dict):
                assert set(component) - {"name"} <= COMPONENTS[key][component.get("name")]
        for key, value in params.items():
            if (last := key.rpartition(".")[2]) in RANGES:
                low, high = RANGES[last]
                assert low <= value <= high


def test_long_tail_offers_every_remedy() -> None:
    space = Space.parse({"preset": "long_tail"})
    values = {parameter.name: parameter.domain.corners() for parameter in space.parameters}
    multiclass = {"cross_entropy", "weighted_cross_entropy", "focal", "class_balanced", "logit_adjustment"}
    assert set(values["loss"]) == multiclass
    assert set(values["sampler"]) == {"none", "balanced"}
    assert values["loss.cross_entropy.label_smoothing"] == (0.0, 0.2)
    assert "postprocess.prior_power" in values


def test_own_keys_replace_those_of_the_preset_whole() -> None:
    space = Space.parse({"preset": "long_tail", "loss.name": "focal", "lr": 1e-3, "sampler": {"choice": ["none"]}})
    config = space.build(space.default())
    assert config["loss"] == {"name": "focal"}
    assert config["lr"] == 1e-3
    assert config["sampler"] == "none"
    assert "weight_decay" in space.names()
    assert not any(name.startswith("loss") for name in space.names())


def test_later_presets_win() -> None:
    space = Space.parse({"preset": ["quick", "long_tail"]})
    values = {parameter.name: parameter.domain.corners() for parameter in space.parameters}
    assert values["model_name"] == ("resnet10t", "mobilenetv3_small_050")  # from quick alone
    assert values["lr"] == (1e-5, 1e-2)
    assert Space.parse({"preset": ["long_tail", "quick"]}).distributions()["lr"].low == 1e-4


def test_an_expanded_space_stands_by_itself() -> None:
    mapping = {"preset": "quick", "lr": 1e-3}
    expanded = expand_presets(mapping)
    assert "preset" not in expanded
    assert Space.parse(expanded) == Space.parse(mapping)
    assert expand_presets({"lr": 1}) == {"lr": 1}


def test_unknown_presets_are_all_named() -> None:
    with pytest.raises(SpaceError) as caught:
        expand_presets({"preset": ["longtail", "quick", "multi"]})
    assert [problem.path for problem in caught.value.problems] == ["preset", "preset"]
    assert "did you mean 'long_tail'?" in str(caught.value)
