"""A model that trains in a second."""

from __future__ import annotations

from training.model import ModelConfig

TINY = ModelConfig(
    vocab_size=40,
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=64,
)
