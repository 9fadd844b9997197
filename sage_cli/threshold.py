"""``--fail-under``: the confidence below which an answer is a failure."""

from __future__ import annotations

import typer

from mch_runtime.errors import UsageError
from sage_cli.config import is_configured


def threshold(ctx: typer.Context, fail_under: float | None, *, use_head: bool) -> float | None:
    """The threshold that holds; one of the settings is for answers that a head judges.

    Raises UsageError if it means nothing.
    """
    if fail_under is None or (not use_head and is_configured(ctx, "fail_under")):
        return None
    if not 0 <= fail_under <= 1:
        raise UsageError(f"--fail-under {fail_under:g} is not a probability", hint="0 to 1")
    if not use_head:
        raise UsageError("--fail-under needs a head, and --no-head uses none", hint="give one of them")
    return fail_under
