"""What can be asked for: one frozen value per verb, contradictions refused when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mch_runtime.effort import Effort
from mch_runtime.errors import UsageError
from mch_runtime.trace import Sampling

KvType = Literal["f16", "bf16", "f32"]

MOST_SEQUENCES = 256  # llama.cpp's own limit
MOST_APART = 8  # where each has a whole context of its own
BESIDE = 8
ROOM_PER_ROW = 192  # tokens; sequences that need more wait for each other


@dataclass(frozen=True)
class VectorFile:
    """A control vector's file, and what it is multiplied with; a negative scale steers the other way."""

    path: Path
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How a model is loaded.

    head: a head's file instead of the one found with the model; use_head False ignores both;
    force_head accepts a head that does not fit, and makes confidence null.
    ctx_size: tokens of context, None for the model's own (at most 4096). room: tokens that the cache holds beyond
    that, for sequences side by side. deterministic: a sequence's numbers do not depend on those beside it.
    control_vectors: added to the states of the layers, which makes confidence null.
    kv_type: of the cache, None for what the processor is quick with. Parity tests use "f32" and no flash_attention.
    """

    model: Path
    head: Path | None = None
    use_head: bool = True
    force_head: bool = False
    control_vectors: tuple[VectorFile, ...] = ()
    ctx_size: int | None = None
    room: int = 0
    max_sequences: int = 8
    deterministic: bool = False
    threads: int | None = None
    gpu_layers: int = 0
    flash_attention: bool = True
    kv_type: KvType | None = None

    def __post_init__(self) -> None:
        if self.head is not None and not self.use_head:
            raise UsageError("--head and --no-head contradict each other", hint="give one of them")
        if self.force_head and not self.use_head:
            raise UsageError("--force-head and --no-head contradict each other", hint="give one of them")
        if self.ctx_size is not None and not 16 <= self.ctx_size <= 1 << 20:
            raise UsageError(f"--ctx-size {self.ctx_size} is out of range", hint="16 to 1048576 tokens")
        if self.threads is not None and not 1 <= self.threads <= 512:
            raise UsageError(f"--threads {self.threads} is out of range", hint="1 to 512")
        _within("max_sequences", self.max_sequences, 1, MOST_SEQUENCES)
        _within("room", self.room, 0, 1 << 22)

    def side_by_side(self, rows: int) -> EngineOptions:
        """The same with a place for so many sequences at once and a few that are read beside them."""
        rows = min(rows, MOST_APART if self.deterministic else MOST_SEQUENCES - BESIDE)
        return replace(self, max_sequences=max(self.max_sequences, rows + BESIDE), room=rows * ROOM_PER_ROW)


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How a token is drawn, in llama.cpp's order: top-k, top-p, min-p, temperature.

    temperature 0 is greedy, and the others then mean nothing. seed None draws one.
    top_k 0, top_p 1 and min_p 0 switch a filter off.
    """

    temperature: float = 0.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        _within("temperature", self.temperature, 0.0, 10.0)
        _within("top_k", self.top_k, 0, 1 << 20)
        _within("top_p", self.top_p, 0.0, 1.0)
        _within("min_p", self.min_p, 0.0, 1.0)
        if self.seed is not None:
            _within("seed", self.seed, 0, 2**32 - 1)

    @property
    def recorded(self) -> Sampling:
        """As a trace says it."""
        return Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, min_p=self.min_p)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What was said before the question.

    token_ids: the tokens of ``content`` as the model wrote them, without the one that ended it; () for text of any
    other origin.
    """

    role: Literal["system", "user", "assistant"]
    content: str
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Landmarks:
    """What a conversation leaves in the cache once it is full: the first ``head`` tokens, the last ``window``, and every
    ``every``-th one between them (SAGE-32B, section 2.3).

    head None: the system prompt.
    """

    window: int = 512
    every: int = 8
    head: int | None = None

    def __post_init__(self) -> None:
        _within("window", self.window, 1, 1 << 20)
        _within("every", self.every, 2, 1 << 20)


@dataclass(frozen=True, kw_only=True)
class AskOptions:
    """One question. max_tokens None means until the context is full.

    keep: hold the answer in the cache until the next question, so that it can be explained or continued without being
    read again. past: what was said before. begin: tokens that the answer begins with; one more than the answer that
    is held has up to there costs one token. landmarks: let the past outgrow the context. stop: strings that end a
    chain where the first of them begins. effort: how much to spend.
    """

    system: str = ""
    past: tuple[Message, ...] = ()
    begin: tuple[int, ...] = ()
    landmarks: Landmarks | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    keep: bool = False
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            raise UsageError(f"--max-tokens {self.max_tokens} is out of range", hint="1 or more")
        if "" in self.stop:
            raise UsageError("a stop string is empty", hint="give the text to stop at, or leave --stop out")


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """What an explanation measures beyond steps, commitment and inverse consistency.

    system and past: the system prompt and the messages that the chain was written under. control: consistency with a shuffled question too. attention:
    look for premises by attention too, not by ablation alone. points and alternatives: most decision points, most
    alternatives at each. budget: tokens that all alternatives together may be expected to write.
    """

    system: str = ""
    past: tuple[Message, ...] = ()
    monotonicity: bool = True
    control: bool = True
    premises: bool = True
    attention: bool = True
    alternatives: bool = True
    faithfulness: bool = False
    points: int = 3
    alternatives_each: int = 3
    budget: int = 4096

    def __post_init__(self) -> None:
        _within("points", self.points, 1, 100)
        _within("alternatives_each", self.alternatives_each, 1, 20)
        _within("budget", self.budget, 1, 1 << 24)
        if self.faithfulness and not self.premises:
            raise UsageError("faithfulness is measured of premises", hint="leave the premises in")


def _within(name: str, value: float, low: float, high: float) -> None:
    if math.isnan(value) or not low <= value <= high:
        raise UsageError(f"{name} {value} is out of range", hint=f"{low} to {high}")
