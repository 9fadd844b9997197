"""What a fitted head is worth, as text and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rich.table import Table
from rich.text import Text

from mch_runtime.trace import Mode

if TYPE_CHECKING:
    from mch_runtime.fitting.fitter import Fitted
    from mch_runtime.fitting.quality import Calibration, Compared

SCHEMA = "sage.head-fit-report/1"


def fitted_view(fitted: Fitted) -> Table:
    """Ranking beside log-probability's, and calibration beside the floor that a perfect score would show."""
    found = fitted.quality
    table = Table(box=None, pad_edge=False, show_header=True, header_style="bold", title_justify="left")
    table.title = Text(f"On {found.questions:,} questions set aside", "bold")
    for name in ("", "head", "mean log-probability", "difference", "n"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("AUROC of answers", *_compared(found.answers))
    if found.steps is not None:
        table.add_row("AUROC of steps, as labelled", *_compared(found.steps))
    table.add_row("ECE of answers, sampled", *_calibration(found.sampled))
    table.add_row("ECE of answers, fast", *_calibration(found.fast))
    known = ", ".join(modes_of(fitted))
    table.caption = Text(
        f"Confidence is known in the modes {known}. 95 % intervals are over questions.", "dim"
    )
    table.caption_justify = "left"
    return table


def _compared(found: Compared) -> tuple[str, str, str, str]:
    return str(found.head), str(found.logprob), str(found.difference), f"{found.n:,}"


def _calibration(found: Calibration) -> tuple[str, str, str, str]:
    return f"{found.ece:.3f}, floor {found.floor:.3f}", "", "", f"{found.n:,}"


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
