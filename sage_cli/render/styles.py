"""The forms that an explanation can take."""

from __future__ import annotations

from typing import Literal

Style = Literal["brief", "steps", "evidence", "questions"]
Format = Literal["text", "md", "json", "html"]

GENERATED = "The model's own words: generated, not measured"
