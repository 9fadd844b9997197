"""The data stages: the tokenizer, and the tokenized corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.curriculum import Phase, phase_problems
from training.dialect import SPECIAL_TOKENS, Mix, example

# Qwen2's pre-tokenizer as published in its tokenizer.json; every digit is a token of its own.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(phases: Sequence[Phase], *, seed: int, vocab_size: int, documents: int) -> Tokenizer:
    """A byte-level BPE over the last phase, which has everything, with Qwen2's pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    stream = phase_problems(phases[-1], seed=seed)
    texts = (
        text for _, p in zip(range(documents), stream, strict=False) for text in (p.question, p.solution)
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


@dataclass(frozen=True)
class Corpus:
    """Tokenized examples, flat.

    token_ids: uint16 (n_tokens,); starts: int64 (n + 1,), where each example begins;
    contexts: int32 (n,), how many leading tokens of each example carry no loss.
    """

    token_ids: np.ndarray
    starts: np.ndarray
    contexts: np.ndarray

    def __len__(self) -> int:
        return len(self.contexts)

    def save(self, path: Path) -> None:
        np.savez(path, token_ids=self.token_ids, starts=self.starts, contexts=self.contexts)

    @classmethod
    def load(cls, path: Path) -> Corpus:
        with np.load(path) as stored:
            return cls(stored["token_ids"], stored["starts"], stored["contexts"])


def build_corpus(
    phases: Sequence[Phase], tokenizer: Tokenizer, *, seed: int | str, tokens: int, mix: Mix
) -> Corpus:
    """Examples from the training split, phase after phase, until ``tokens`` tokens are reached."""
    rng = Random(f"{seed}/examples")
    flat: list[np.ndarray] = []
    contexts: list[int] = []
    due = total = 0.0
    for index, phase in enumerate(phases):
        stream = phase_problems(phase, seed=seed if index == 0 else f"{seed}.{index}")
        due += phase.share * tokens
        while total < due:
            batch = [example(next(stream), rng, mix) for _ in range(2000)]
            heads = tokenizer.encode_batch_fast([e.context for e in batch], add_special_tokens=False)
            tails = tokenizer.encode_batch_fast([e.target for e in batch], add_special_tokens=False)
            for head, tail in zip(heads, tails, strict=True):
                flat.append(np.asarray(head.ids + tail.ids, dtype=np.uint16))
                contexts.append(len(head.ids))
                total += len(flat[-1])
    starts = np.concatenate([[0], np.cumsum([len(ids) for ids in flat])]).astype(np.int64)
    return Corpus(np.concatenate(flat), starts, np.asarray(contexts, dtype=np.int32))


def describe(phases: Sequence[Phase], mix: Mix, *, seed: int | str, tokens: int) -> str:
    """The settings of a corpus as JSON, stored beside it."""
    settings = {"phases": [asdict(phase) for phase in phases], "mix": asdict(mix), "seed": seed}
    return json.dumps(settings | {"tokens": tokens}, indent=2)
