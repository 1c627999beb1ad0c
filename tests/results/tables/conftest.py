"""Tables as they are printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType


@pytest.fixture
def lines() -> Callable[[RenderableType, int], list[str]]:
    """Return a function from a renderable and a width in characters to its printed lines, without colours."""

    def render(renderable: RenderableType, width: int) -> list[str]:
        console = Console(width=width, record=True, quiet=False, file=None, force_terminal=False)
        with console.capture() as capture:
            console.print(renderable)
        return capture.get().splitlines()

    return render
