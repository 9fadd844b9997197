"""Package data: the embedded model, problems that it never saw, and the style of a page."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = Path(__file__).with_name("sage-pico.gguf")
PICO_PROBLEMS = Path(__file__).with_name("pico-problems.jsonl.gz")
STYLE_SHEET = Path(__file__).with_name("explanation.css")
EVALUATION_SHEET = Path(__file__).with_name("evaluation.css")
