"""What a fitted head is worth, as text and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.table import Table
from rich.text import Text

from mch_runtime.trace import Mode

if TYPE_CHECKING:
    from mch_runtime.fitting.fitter import Fitted

SCHEMA = "sage.head-fit-report/1"


def fitted_view(fitted: Fitted) -> Table:
    """Ranking beside log-probability's, and calibration beside the floor that a perfect score would show."""
    found = fitted.quality
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold", title_justify="left")
    table.title = Text(f"On {found.questions:,} questions set aside", "bold")
    for name in ("", "head", "log-probability", "n"):
        table.add_column(name, justify="right" if name == "n" else "left", no_wrap=True)
    for name, compared in (("answers", found.answers), ("steps", found.steps)):
        if compared is not None:
            table.add_row(f"AUROC, {name}", str(compared.head), str(compared.logprob), f"{compared.n:,}")
            table.add_row("  better by", str(compared.difference), "", "")
    for name, known in (("sampled", found.sampled), ("fast", found.fast)):
        table.add_row(f"ECE, {name}", f"{known.ece:.3f} (floor {known.floor:.3f})", "", f"{known.n:,}")
    modes = ", ".join(modes_of(fitted))
    table.caption = Text(f"Confidence is known in {modes}. 95 % intervals, over questions.", "dim")
    table.caption_justify = "left"
    return table


def modes_of(fitted: Fitted) -> list[Mode]:
    """The modes whose confidence is known."""
    return [mode for mode in get_args(Mode) if mode in fitted.head.spec.calibration]


def fitted_json(fitted: Fitted, path: Path) -> dict[str, Any]:
    """The same as plain values."""
    spec = fitted.head.spec
    return {
        "schema": SCHEMA,
        "file": str(path),
        "name": spec.name,
        "modes": modes_of(fitted),
        "familiarity": spec.familiarity is not None,
        "provenance": dict(spec.provenance),
    }
