"""sage-pico in torch: a Qwen2 whose parameter names are those of the published checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


@dataclass(frozen=True)
class ModelConfig:
    """Hyper-parameters. Widths are multiples of 256, so that K-quants apply without falling back."""

    vocab_size: int
    hidden_size: int = 256
    intermediate_size: int = 256
    num_hidden_layers: int = 8
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 1024

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


class Attention(nn.Module):
    """Grouped-query attention with biases on q, k and v, rotary positions in halves."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, kv_width = config.hidden_size, config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, kv_width)
        self.v_proj = nn.Linear(width, kv_width)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        # Written out: on short sequences plain products are twice as fast as the fused kernel in bfloat16.
        batch, length, width = x.shape
        config = self.config

        def heads(projected: Tensor) -> Tensor:
            return projected.view(batch, length, -1, config.head_dim).transpose(1, 2)

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        q, k = rotate(q, rotary), rotate(k, rotary).to(v.dtype)
        # The query heads that share a key head are rows of one product.
        shared = (batch, config.num_key_value_heads, -1, config.head_dim)
        q = (q * config.head_dim**-0.5).to(v.dtype).reshape(shared)
        scores = (q @ k.transpose(-1, -2)).view(batch, -1, length, length)
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1).to(v.dtype)
        y = weights.view(batch, config.num_key_value_heads, -1, length) @ v
        y = y.view(batch, config.num_attention_heads, length, config.head_dim)
        return self.o_proj(y.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary)
        return x + self.mlp(self.post_attention_layernorm(x))


class Qwen2(nn.Module):
    """``forward(token_ids (B, T)) -> logits (B, T, V)``; embeddings are tied."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        frequencies = config.rope_theta ** (
            -torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        )
        angles = torch.arange(config.max_position_embeddings)[:, None] * frequencies
        self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
        self.register_buffer("sin", angles.sin().repeat(1, 2), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = (2 * self.config.num_hidden_layers) ** -0.5 if residual else 1.0
                nn.init.normal_(parameter, std=scale * self.config.hidden_size**-0.5)

    def hidden(self, token_ids: Tensor) -> Tensor:
        """The final-norm states (B, T, d), what llama.cpp calls ``result_norm``."""
        length = token_ids.shape[1]
        rotary = (self.cos[:length], self.sin[:length])
        x = self.embed_tokens(token_ids)
        for layer in self.layers:
            x = layer(x, rotary)
        return self.norm(x)

    def project(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of final-norm states (..., d)."""
        return F.linear(hidden, self.embed_tokens.weight)

    def forward(self, token_ids: Tensor) -> Tensor:
        return self.project(self.hidden(token_ids))


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding in halves (NEOX), as Qwen2 has it. x: (B, heads, T, head_dim)."""
    cos, sin = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
