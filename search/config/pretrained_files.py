"""`space.pretrained`: files beside the configuration, and switches beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

WORDS = ("auto", "true", "false")
"""Texts of `pretrained` that name no file."""
_KEY = "pretrained"


def with_files(space: Mapping[str, Any], place: Callable[[str], str]) -> dict[str, Any]:
    """Return a space in which `place` gives each file of `pretrained` another path.

    A switch beside texts is written as a text, since a choice has values of one kind.

    >>> with_files({"lr": 0.1, "pretrained": {"choice": [False, "a.safetensors"]}}, "weights/{}".format)
    {'lr': 0.1, 'pretrained': {'choice': ['false', 'weights/a.safetensors']}}
    """
    named = {key: value for key, value in space.items() if str(key).partition(".")[0] == _KEY}
    return {**space, **{key: _placed(value, place) for key, value in named.items()}}


def _placed(value: Any, place: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        choices = value.get("choice")
        if isinstance(choices, list) and any(isinstance(each, str) for each in choices):
            value = {**value, "choice": [_text(each) for each in choices]}
            value |= {"default": _text(value["default"])} if "default" in value else {}
        return {key: _placed(each, place) for key, each in value.items()}
    if isinstance(value, list):
        return [_placed(each, place) for each in value]
    return place(value) if isinstance(value, str) and value not in WORDS else value


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
