"""The weights of a run: found for its space, stored with it, named by its trials, the same everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml

from foldtune.errors import InputError
from foldtune.results.runs.pretrained_dir import PretrainedDir
from foldtune.search.checks.pretrained import find_weights, weight_notes
from foldtune.search.config.loading import check
from foldtune.search.config.packaging import pack_job
from foldtune.search.runs.pretrained import check_same_files, store_weights, with_weights
from foldtune.spaces import Space
from foldtune.trainers.networks.weights import load_weights, save_weights, sum_of

OFFLINE = "not in the cache, and HF_HUB_OFFLINE is set"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights of test_resnet."""
    torch.manual_seed(3)
    path = tmp_path / "w.safetensors"
    save_weights(timm.create_model("test_resnet").state_dict(), path, {"licence": "MIT", "source": "a test"})
    return path


def space(pretrained: Any = None, models: Any = "test_resnet") -> Space:
    named = {} if pretrained is None else {"pretrained": pretrained}
    return Space.parse({"model_name": models, "lr": {"uniform": [0.1, 0.2]}, **named})


BOTH = {"choice": ["test_resnet", "test_byobnet"]}


def test_auto_takes_what_can_be_had_and_gives_the_reason_for_random_weights(file: Path) -> None:
    assert weight_notes(find_weights(space(models=BOTH))) == (
        f"random weights of test_resnet, test_byobnet: {OFFLINE}",
    )
    assert find_weights(space(False)) == ()
    found = find_weights(space({"test_resnet": str(file)}, BOTH))
    assert weight_notes(found) == (
        f"pretrained weights of test_resnet: {file} (a test), MIT",
        f"random weights of test_byobnet: {OFFLINE}",
    )


@pytest.mark.parametrize(
    ("pretrained", "models", "message"),
    [
        (True, "test_resnet", f"true, but no weights of 'test_resnet' can be had ({OFFLINE}): give a file"),
        ("wights.pth", "test_resnet", "cannot read wights.pth: no such file or directory; valid: auto, true, false"),
        ("atuo", "test_resnet", "; did you mean 'auto'?"),
        (
            {"test_resnt": "FILE"},
            "test_resnet",
            "space.pretrained.test_resnt: unknown model 'test_resnt'; did you mean",
        ),
        ("FILE", BOTH, "another network than 'test_byobnet'"),
        ("FILE", BOTH, "of several models name each one's: space.pretrained: {MODEL: FILE}"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(pretrained: Any, models: Any, message: str, file: Path) -> None:
    given = json.loads(json.dumps(pretrained).replace("FILE", str(file)))
    with pytest.raises(InputError) as caught:
        find_weights(space(given, models))
    assert message in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_run_keeps_them_and_its_trials_name_them(file: Path, tmp_path: Path) -> None:
    given = {"choice": ["auto", "false", str(file)]}
    folder = PretrainedDir(tmp_path / "run" / "pretrained")
    stored = store_weights(find_weights(space(given)), folder)
    assert folder.read() == stored
    auto, own = stored
    digest = sum_of(load_weights(file))
    assert (auto.file, auto.reason) == (None, OFFLINE)
    assert (own.digest, own.licence, own.file) == (digest, "MIT", f"test_resnet-{digest[:12]}.safetensors")
    assert sum_of(load_weights(tmp_path / "run" / "pretrained" / str(own.file))) == digest
    named = {
        word: with_weights({"model_name": "test_resnet", "pretrained": word}, stored)["pretrained"]
        for word in given["choice"]
    }
    assert named == {"auto": False, "false": False, str(file): own.file}
    assert with_weights({"model_name": "test_resnet"}, stored)["pretrained"] is False
    before = {"model_name": "test_resnet", "lr": 0.1}
    assert with_weights(before, None) == before, "a run of before has no record, and an absent key means false"


def test_a_resumed_search_keeps_its_weights(file: Path, tmp_path: Path) -> None:
    stored = store_weights(find_weights(space(str(file))), PretrainedDir(tmp_path / "pretrained"))
    moved = tmp_path / "elsewhere" / file.name
    check_same_files({"pretrained": str(moved)}, stored)
    moved.parent.mkdir()
    save_weights(timm.create_model("test_resnet").state_dict(), moved)
    with pytest.raises(InputError, match="holds other weights than the run was started with"):
        check_same_files({"pretrained": str(moved)}, stored)


def test_files_are_relative_to_the_configuration_and_travel_with_a_job(project: Any, file: Path) -> None:
    changes = {"space.pretrained": {"choice": [file.name, False], "default": False}}
    raw = yaml.safe_load(Path(project.config(changes)).read_text())
    config = check(raw, project.folder)
    assert config.space["pretrained"] == {"choice": [str(file), "false"], "default": "false"}
    package = pack_job(raw, project.folder)
    assert package.files == {file.name: file.read_bytes()}
    assert package.config["space"]["pretrained"]["choice"] == [file.name, "false"]
    assert raw["space"]["pretrained"] == changes["space.pretrained"]


def test_validate_prints_what_networks_start_from(project: Any, foldtune: Any, file: Path) -> None:
    code, out, _ = foldtune("validate", project.config({"space.pretrained": file.name}))
    assert code == 0
    line = f"note: pretrained weights of test_resnet: {file} (a test), MIT"
    assert "".join(line.split()) in "".join(out.split())  # a long path is folded
    code, _, err = foldtune("validate", project.config({"space.pretrained": "absent.safetensors"}))
    assert code == 2
    assert f"space.pretrained: cannot read {project.folder}/absent.safetensors" in err
