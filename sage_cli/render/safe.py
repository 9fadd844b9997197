"""Text that a terminal shows and does not obey.

Model text, file names and metadata may hold escape sequences, which can move the cursor, write the
clipboard or send text back as if it had been typed, and characters that reorder what is seen.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks, embeddings, overrides, isolates
    "\u2028\u2029\ufeff"  # line and paragraph separators, byte order mark
    "\U000e0000-\U000e007f"  # tags: invisible text
    "\ud800-\udfff"  # lone surrogates
    "]"
)


def safe(text: str) -> str:
    r"""``text`` with everything a terminal might act on made visible, ESC as ``\x1b``.

    Decided code point by code point, so cutting the text anywhere changes nothing; idempotent.
    """
    return _UNSAFE.sub(_visible, text)


def one_line(text: str) -> str:
    """:func:`safe` text on a single line."""
    return safe(text).replace("\n", "\\n").replace("\t", " ")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
