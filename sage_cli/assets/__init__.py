"""Package data: the embedded model."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = Path(__file__).with_name("sage-pico.gguf")
