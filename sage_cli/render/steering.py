"""A contrast of texts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from mch_runtime.contrast import Contrast


def contrast_view(made: Contrast) -> Text:
    """A line for every layer: how large its direction is, and how well it tells held-out pairs apart."""
    told = f"of {made.held_out:,} held-out pairs" if made.held_out else "too few pairs to hold some out"
    lines = [Text(f"{'layer':>5}  {'direction / state':>17}  told apart, {told}", "bold")]
    for layer in made.layers:
        share = "" if layer.separation is None else f"{100 * layer.separation:.1f} %"
        lines.append(Text(f"{layer.layer:>5}  {layer.size:>17.3f}  {share}".rstrip()))
    return Text("\n").join(lines)
