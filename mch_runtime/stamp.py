"""What tells one answer from another: its seed, its time, and the program that gave it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from mch_runtime.options import SamplingOptions


def seed_of(sampling: SamplingOptions) -> int:
    """The seed that was asked for, else one drawn now."""
    return sampling.seed if sampling.seed is not None else secrets.randbits(31)


def now() -> str:
    """The time in UTC, as ISO 8601 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sage_version() -> str:
    """The installed version; "unknown" where nothing is installed."""
    try:
        return version("sage-cli")
    except PackageNotFoundError:
        return "unknown"
