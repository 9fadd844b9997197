"""Rich renderables to strings, with escape codes only where they are wanted."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from sage_cli.console import Face

if TYPE_CHECKING:
    from rich.console import RenderableType

_UNWRAPPED = 1 << 16  # columns; lines of text are left to the terminal to wrap


def paint(renderable: RenderableType, face: Face, *, width: int = _UNWRAPPED) -> str:
    """What to write to a stream that shows ``face``; never markup, never links."""
    if isinstance(renderable, Text) and not face.color:
        return renderable.plain
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=face.color,
        color_system="standard" if face.color else None,
        no_color=not face.color,
        safe_box=not face.unicode,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    with console.capture() as capture:
        console.print(renderable, end="" if isinstance(renderable, Text) else "\n")
    return capture.get()
