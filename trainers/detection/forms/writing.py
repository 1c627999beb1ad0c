"""Boxes in one of the forms in which they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from foldtune.trainers.detection.forms.coco import coco_text
from foldtune.trainers.detection.forms.icdar import icdar_zip
from foldtune.trainers.detection.forms.page import Page
from foldtune.trainers.detection.forms.ufo import ufo_text
from foldtune.trainers.detection.table import boxes_text

SUFFIXES = MappingProxyType({"boxes": ".json", "coco": ".json", "ufo": ".json", "icdar": ".zip"})
"""Suffix of a file of boxes by its form, as `Source.form` has it; ICDAR's files go into a .zip."""


def boxes_bytes(form: str, pages: Sequence[Page], facts: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """Return pages in a form, one of `SUFFIXES`.

    Args:
        facts: `Source.facts` of the form that was read, such as COCO's numbers of images.
    """
    if form == "icdar":
        return icdar_zip(pages)
    if form == "coco":
        return coco_text(pages, facts).encode()
    return (ufo_text(pages) if form == "ufo" else boxes_text(pages)).encode()
