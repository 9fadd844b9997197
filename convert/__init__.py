"""Hugging Face checkpoints to GGUF, with the head behind the base."""

from typing import Literal

OutType = Literal["f32", "f16", "bf16", "q8_0"]
