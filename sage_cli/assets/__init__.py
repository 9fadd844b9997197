"""Package data: the embedded model, and the style of a page."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = Path(__file__).with_name("sage-pico.gguf")
STYLE_SHEET = Path(__file__).with_name("explanation.css")
