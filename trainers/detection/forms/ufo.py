"""UFO JSON, a form of text datasets: images by name, words by id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import Source
from foldtune.trainers.detection.forms.page import UNREADABLE, Page, labelled_source

FORM = '{"images": {"NAME.jpg": {"img_w": 480, "img_h": 960, "words": {"1": {"points": [[x, y], …]}}}}}'


def is_ufo(content: Any) -> bool:
    """Whether the content of a JSON file is UFO."""
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, dict):
        return False
    return all(isinstance(each, dict) and "words" in each for each in images.values()) and set(images) != {"words"}


def read_ufo(path: Path, content: Mapping[str, Any]) -> Source:
    """Return a row an image; words that are marked as illegible, or whose text is ###, are left out and counted.

    Raises:
        DataError: words that are not of the form `FORM`.
    """
    pages, left_out = [], 0
    for name, image in content["images"].items():
        words = image["words"]
        listed = list(words.values()) if isinstance(words, dict) else words if words is not None else []
        if not isinstance(listed, list) or not all(isinstance(word, dict) for word in listed):
            raise DataError([f"{path}: image '{name}': words are not as in {FORM}"])
        kept = [
            word for word in listed if word.get("illegibility") is not True and word.get("transcription") != UNREADABLE
        ]
        left_out += len(listed) - len(kept)
        pages.append((name, image.get("img_w"), image.get("img_h"), kept))
    return labelled_source("ufo", pages, left_out)


def ufo_text(pages: Sequence[Page]) -> str:
    """Return pages as UFO JSON."""
    images = {
        page.name: {
            "img_w": page.width,
            "img_h": page.height,
            "words": {str(place): {"points": corners} for place, corners in enumerate(page.corners(), start=1)},
        }
        for page in pages
    }
    return json.dumps({"images": images}, ensure_ascii=False)
