"""Hugging Face checkpoints to GGUF, with the head behind the base."""
