"""The examples and presets against the program itself: every one is accepted as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foldtune.search.assess.gates import CLASS_FIGURES, evaluate_gates, parse_gates
from foldtune.search.config.loading import load_config
from foldtune.search.config.targets import read_targets
from foldtune.search.data.dataset import read_labelled
from foldtune.search.runs.target_checks import check_targets
from foldtune.search.runs.validation import check_file, check_space
from foldtune.spaces import Space, list_presets
from foldtune.trainers.networks.packaged import write_packaged
from foldtune.trainers.tasks import Task, get_task
from foldtune.yaml import parse_yaml

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
TASK_OF_PRESET = {
    "finetune": "multiclass",
    "long_tail": "multiclass",
    "multiclass": "multiclass",
    "multilabel": "multilabel",
    "ordinal": "ordinal",
    "quick": "multiclass",
    "retinopathy": "binary",
    "text_detection": "text_detection",
}
LABELS = {"multilabel": ["a|b", "b|c", "a"], "ordinal": ["0", "1", "2"], "binary": ["no", "yes"]}


def task_of(name: str) -> Task:
    import pandas as pd

    if name == "text_detection":
        boxes = [[{"points": [[1, 1], [90, 1], [90, 20], [1, 20]]}]]
        frame = pd.DataFrame({"image": ["a.jpg"], "width": [100], "height": [50], "label": boxes})
        return get_task(name).from_frame(frame, "label")
    return get_task(name).from_frame(pd.DataFrame({"label": LABELS.get(name, ["a", "b", "c"])}), "label")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `foldtune data weights` writes, which the examples of pretrained weights name elsewhere."""
    return write_packaged("tf_efficientnet_lite0", tmp_path_factory.mktemp("weights"))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_valid_and_opens_with_its_command(path: Path, weights: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert re.match(r"# .*foldtune search examples/" + re.escape(path.name), first)
    data = parse_yaml(path.read_text(), str(path))["data"]
    table = (path.parent / data["root"] / data["train"]).resolve()
    if not table.is_file():
        pytest.skip(f"{table} is not there")
    several = read_targets(path)
    if several is not None:
        assert several.name == path.stem
        assert check_targets(several).targets
        return
    checked = check_file(path, [f"space.pretrained={weights}"] if path.stem.endswith("_pretrained") else [])
    assert checked.config.name == path.stem
    assert checked.test is not None


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "gates").glob("*.yaml")), ids=lambda path: path.stem)
def test_gates_name_metrics_and_classes_of_their_example(path: Path) -> None:
    assert path.read_text().startswith(f"# foldtune gate {path.stem} examples/gates/{path.name}\n")
    example = ROOT / "examples" / path.name
    data = parse_yaml(example.read_text(), str(example))["data"]
    if not (example.parent / data["root"] / data["train"]).is_file():
        pytest.skip(f"{data['root']} is not there")
    config = load_config(example)
    task, _ = read_labelled(config.data, config.task)
    estimate = dict.fromkeys(task.metrics, 0.0)
    per_class = [{"label": label} | dict.fromkeys(CLASS_FIGURES, 0.0) for label in task.label_names]
    assert evaluate_gates(
        parse_gates(parse_yaml(path.read_text(), str(path))), {"estimate": estimate, "per_class": per_class}
    )


@pytest.mark.parametrize("name", list_presets())
def test_all_that_a_preset_proposes_suits_its_task(name: str) -> None:
    task = task_of(TASK_OF_PRESET[name])
    check_space(Space.parse({"preset": name, "model_name": "test_resnet"}), task, epochs=12)


def test_presets_offer_every_usual_loss_of_their_task() -> None:
    def losses(preset: str) -> set[str]:
        space = Space.parse({"preset": preset})
        (loss,) = (parameter for parameter in space.parameters if parameter.name == "loss")
        return set(map(str, loss.domain.corners()))

    weighted = {"weighted_bce"}  # bce with another default of its power
    assert losses("multilabel") == set(task_of("multilabel").losses) - weighted
    assert {"coral", "corn", "sord", "class_balanced"} < losses("ordinal")
    defaults = Space.parse({"preset": "retinopathy"}).default()
    assert defaults["loss"] == "sigmoid_focal"
    assert (defaults["loss.sigmoid_focal.gamma"], defaults["loss.sigmoid_focal.alpha"]) == (1.5, 0.5)
