"""Sizes and counts for people."""

from __future__ import annotations


def size(count_of_bytes: int) -> str:
    """``12.3 MB``, powers of ten."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count_of_bytes >= factor:
            return f"{count_of_bytes / factor:.1f} {unit}"
    return f"{count_of_bytes} bytes"


def count(number: int) -> str:
    """``1.7 M``"""
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return str(number)
