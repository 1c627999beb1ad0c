"""Pretrained weights of timm's models: what a space may name, where they are, whether they fit a model."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from foldtune.errors import InputError, WorkError
from foldtune.trainers.deferred import timm, torch
from foldtune.wording import did_you_mean, first_few, shortened

if TYPE_CHECKING:
    from torch import Tensor

AUTO = "auto"
FORM = "auto, true, false, FILE or {model: FILE}"
REMEDY = (
    "give a file (pretrained: FILE), download the weights once where there is a network and point HF_HOME to that "
    "cache, or set pretrained: auto or false"
)
TIMEOUT_S = 3.0
"""Seconds that the hub has to answer whether it has a model's weights."""
_SOURCE = {"custom_load": False}  # a state dict of timm's, not the form of the registry's own file
_SWITCHES = {"true": True, "false": False}
_CACHED = " (cache)"
_HUB_NAMES = ("model.safetensors", "pytorch_model.bin")
"""Files of a repository of the hub, in timm's order."""


def pretrained_of(given: object, model_name: str) -> bool | str:
    """Return what `pretrained` is for a model: true, false, AUTO or a file; AUTO for one that a mapping lacks.

    Raises:
        ValueError: it is none of these.

    >>> pretrained_of({"resnet18": {"a1_in1k": "a.safetensors"}}, "resnet18.a1_in1k"), pretrained_of("false", "vgg11")
    ('a.safetensors', False)
    """
    if isinstance(given, Mapping):
        given = by_model(given).get(model_name, AUTO)
    given = _SWITCHES.get(given, given) if isinstance(given, str) else given
    if isinstance(given, bool) or (isinstance(given, str) and given):
        return given
    raise ValueError(f"must be {FORM}, not {shortened(repr(given))}")


def by_model(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a mapping by the models' names; a space nests a name with a dot.

    >>> by_model({"resnet18": {"a1_in1k": True}, "vgg11": False})
    {'resnet18.a1_in1k': True, 'vgg11': False}
    """
    inner = {name: by_model(each) if isinstance(each, Mapping) else {"": each} for name, each in given.items()}
    return {".".join(filter(None, (name, tag))): each for name, part in inner.items() for tag, each in part.items()}


@dataclass(frozen=True)
class Origin:
    """Where pretrained weights come from: in words for people, and their licence where it is known."""

    source: str
    licence: str | None = None


@lru_cache(maxsize=256)
def find_own(model_name: str) -> Origin | str:
    """Return where timm's own weights of a model can be had, the cache or the hub; else why not, within seconds."""
    card = timm.get_pretrained_cfg(model_name)
    if not (card.hf_hub_id or card.url):
        return "timm has no pretrained weights of it"
    where = card.hf_hub_id or _url(card)
    if _cached(card):
        return Origin(f"{where}{_CACHED}", card.license)
    reason = _unavailable(_addresses(card))
    return Origin(where, card.license) if reason is None else reason


def own_weights(model_name: str) -> dict[str, Tensor]:
    """Return timm's own weights of a model, downloaded where they are not in the cache. Raises WorkError."""
    origin = find_own(model_name)
    with _offline(isinstance(origin, Origin) and origin.source.endswith(_CACHED)):
        try:
            model = timm.create_model(model_name, pretrained=True)
        except (OSError, RuntimeError) as error:
            raise WorkError(f"no pretrained weights of '{model_name}' ({_one_line(error)}); {REMEDY}") from error
    weights: dict[str, Tensor] = model.state_dict()
    return weights


def file_weights(model_name: str, path: Path) -> tuple[dict[str, Tensor], Origin]:
    """Return the weights of a file as timm takes them for a model, and where they come from.

    A first convolution for another number of channels is adapted to three.

    Args:
        path: safetensors, or a torch file, of which no code is run.

    Raises:
        InputError: the file cannot be read, or holds another network's weights.
    """
    weights, notes = _read(path)
    weights = _without_foreign_head(model_name, _with_three_channels(model_name, weights))
    for outputs in _possible_outputs(model_name, weights):
        try:
            timm.create_model(
                model_name,
                pretrained=True,
                num_classes=outputs,
                pretrained_cfg_overlay={**_SOURCE, "state_dict": weights, "num_classes": outputs, "label_offset": 0},
            )
        except (RuntimeError, KeyError, ValueError, IndexError, AttributeError, TypeError):  # whatever a filter raises
            continue
        origin = f"{path} ({notes['source']})" if notes.get("source") else str(path)
        return weights, Origin(origin, notes.get("licence") or notes.get("license"))
    raise InputError(f"{path}: weights of another network than '{model_name}': {_difference(model_name, weights)}")


def check_file(model_name: str, path: Path) -> Origin:
    """Return where the weights of a file come from, once they are known to fit a model. Raises as `file_weights`."""
    try:
        state = path.stat()
    except OSError:
        return file_weights(model_name, path)[1]  # raises
    return _checked(model_name, path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _checked(model_name: str, path: Path, size: int, time_ns: int) -> Origin:
    return file_weights(model_name, path)[1]


def overlay(path: Path) -> dict[str, Any]:
    """Return the arguments by which timm loads a stored file of weights, its classifier left out."""
    return {"pretrained_cfg_overlay": {**_SOURCE, "file": str(path), "num_classes": -1}}  # no number of classes is -1


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from foldtune.trainers.networks.weights import load_weights, read_notes  # heavy: it imports torch

    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        near = did_you_mean(path.name, (AUTO, *_SWITCHES)) if isinstance(error, FileNotFoundError) else ""
        reason = str(error.strerror).lower()
        raise InputError(f"cannot read {path}: {reason}{near}; valid: {FORM}") from None
    try:
        if head[8:9] == b"{":  # the text that begins every safetensors file
            return load_weights(path), read_notes(path)
        with warnings.catch_warnings(action="ignore"):  # on what is refused next
            found: Any = timm.models.load_state_dict(str(path), weights_only=True)
    except Exception as error:  # torch, pickle, zipfile and safetensors each raise many of their own
        refused = isinstance(error.__cause__, pickle.UnpicklingError)
        reason = "reading it would run code, or it is damaged" if refused else _one_line(error)
        shown = f" ({reason})" if len(reason.split()) > 2 else ""
        raise InputError(
            f"{path}: neither a whole safetensors file nor a torch file of tensors alone{shown}; "
            "save a network's weights: torch.save(model.state_dict(), FILE)"
        ) from error
    if not isinstance(found, dict) or not found or not all(isinstance(each, torch.Tensor) for each in found.values()):
        keys = f" (its keys: {first_few([str(key) for key in found])})" if isinstance(found, dict) and found else ""
        raise InputError(
            f"{path}: holds no state_dict of tensors{keys}; save one: torch.save(model.state_dict(), FILE)"
        )
    return found, {}


def _with_three_channels(model_name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    first = timm.get_pretrained_cfg(model_name).first_conv
    names = [f"{name}.weight" for name in ((first,) if isinstance(first, str) else first or ())]
    own = _shapes(model_name)
    adapted = {}
    for name in names:
        weight = weights.get(name)
        if weight is None or weight.ndim != 4 or own.get(name, weight.shape)[1] != 3 or weight.shape[1] == 3:
            continue
        adapted[name] = timm.models.adapt_input_conv(3, weight, base_chans=weight.shape[1])
    return {**weights, **adapted}


def _classifiers(model_name: str) -> tuple[str, ...]:
    names: Any = timm.get_pretrained_cfg(model_name).classifier
    return (names,) if isinstance(names, str) else tuple(names or ())


def _without_foreign_head(model_name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights without a head of several layers in the place of the classifier."""
    several = [name for name in _classifiers(model_name) if f"{name}.weight" not in weights]
    return {key: each for key, each in weights.items() if not any(key.startswith(f"{name}.") for name in several)}


def _possible_outputs(model_name: str, weights: Mapping[str, Tensor]) -> Iterator[int]:
    """Yield the outputs that the file's network may have: its classifier's, none, those of timm's own weights."""
    rows = [weights[f"{name}.weight"].shape[0] for name in _classifiers(model_name) if f"{name}.weight" in weights]
    yield from rows[:1] or (0, timm.get_pretrained_cfg(model_name).num_classes)


@lru_cache(maxsize=64)
def _shapes(model_name: str) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            model = timm.create_model(model_name)
    except (RuntimeError, NotImplementedError):
        model = timm.create_model(model_name)
    return {name: tuple(each.shape) for name, each in model.state_dict().items()}


def _difference(model_name: str, weights: Mapping[str, Tensor]) -> str:
    heads = tuple(f"{name}." for name in _classifiers(model_name))
    own = {name: shape for name, shape in _shapes(model_name).items() if not (heads and name.startswith(heads))}
    given = {name: tuple(each.shape) for name, each in weights.items() if not (heads and name.startswith(heads))}
    missing, strange = [name for name in own if name not in given], [name for name in given if name not in own]
    shaped = [f"{name} {given[name]} for {own[name]}" for name in own if name in given and given[name] != own[name]]
    parts = {"lacks": missing, "has besides": strange, "has in other shapes": shaped}
    found = [f"it {what} {len(names)} tensors ({first_few(names, 3)})" for what, names in parts.items() if names]
    return ", ".join(found) or "timm cannot load it"


def _cached(card: Any) -> bool:
    from huggingface_hub import try_to_load_from_cache

    if not card.hf_hub_id:
        return Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(_url(card)).path).name).is_file()
    return any(isinstance(try_to_load_from_cache(**file), str) for file in _files_of_hub(card))


def _addresses(card: Any) -> tuple[str, ...]:
    """Return the addresses at one of which the weights may be."""
    from huggingface_hub import hf_hub_url

    return tuple(hf_hub_url(**file) for file in _files_of_hub(card)) if card.hf_hub_id else (_url(card),)


def _files_of_hub(card: Any) -> list[dict[str, Any]]:
    repository, _, revision = card.hf_hub_id.partition("@")
    names = (card.hf_hub_filename,) if card.hf_hub_filename else _HUB_NAMES
    return [{"repo_id": repository, "filename": name, "revision": revision or None} for name in names]


def _url(card: Any) -> str:
    return str(card.url if isinstance(card.url, str) else card.url[0])


_AWAY: dict[str, str] = {}
"""Hosts that did not answer, with the reason: each is tried once in a process."""


def _unavailable(addresses: Sequence[str]) -> str | None:
    """Return why none of the addresses holds a file, None where one does."""
    from huggingface_hub import constants, get_hf_file_metadata
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return "not in the cache, and HF_HUB_OFFLINE is set"
    reason = ""
    for address in addresses:
        host = urlsplit(address).netloc
        if host in _AWAY:
            return _AWAY[host]
        try:
            get_hf_file_metadata(address, timeout=TIMEOUT_S)
        except HfHubHTTPError as error:  # it answers, but has no such file or does not give it
            reason = f"not in the cache, and {host} does not give them ({_one_line(error)[:80]})"
        except Exception as error:  # of whatever library the hub's client connects with
            why = _one_line(error)[:80] or type(error).__name__
            return _AWAY.setdefault(host, f"not in the cache, and {host} cannot be reached ({why})")
        else:
            return None
    return reason


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Keep the hub's client from waiting for a hub that what is in the cache does not need."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
