"""The data stages: problems by split and curriculum, the tokenizer, and the tokenized corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.dialect import SPECIAL_TOKENS, Mix, example
from training.families import FAMILIES
from training.problems import Kind, Level, Problem, Split, split_of

# Qwen2's pre-tokenizer as published in its tokenizer.json; every digit is a token of its own.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Curriculum:
    """Which problems are drawn: families, level, how often each number of steps and each kind."""

    families: tuple[str, ...] = ("quantities",)
    level: Level = "easy"
    steps: dict[int, float] = field(default_factory=lambda: {1: 0.15, 2: 0.40, 3: 0.45})
    kinds: dict[Kind, float] = field(default_factory=lambda: {"answerable": 1.0})


def problems(
    curriculum: Curriculum, *, split_name: Split, seed: int, unseen_wording: bool = False
) -> Iterator[Problem]:
    """An endless, seeded stream of problems whose names and numbers belong to one split."""
    rng = Random(f"{seed}/{split_name}/{unseen_wording}")
    counts, weights = zip(*curriculum.steps.items(), strict=True)
    kinds, shares = zip(*curriculum.kinds.items(), strict=True)
    while True:
        family = FAMILIES[rng.choice(curriculum.families)]
        steps = rng.choices(counts, weights)[0]
        # Without a choice nothing is drawn, so that adding kinds leaves older corpora as they were.
        kind = rng.choices(kinds, shares)[0] if len(kinds) > 1 else kinds[0]
        problem = family.problem(
            rng, level=curriculum.level, steps=steps, kind=kind, unseen_wording=unseen_wording
        )
        if split_of(problem) == split_name:
            yield problem


def train_tokenizer(curriculum: Curriculum, *, seed: int, vocab_size: int, documents: int) -> Tokenizer:
    """A byte-level BPE over the training split, with Qwen2's pre-tokenizer."""
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
    stream = problems(curriculum, split_name="train", seed=seed)
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


def build_corpus(curriculum: Curriculum, tokenizer: Tokenizer, *, seed: int, tokens: int, mix: Mix) -> Corpus:
    """Examples from the training split until ``tokens`` tokens are reached."""
    rng = Random(f"{seed}/examples")
    stream = problems(curriculum, split_name="train", seed=seed)
    flat: list[np.ndarray] = []
    lengths: list[int] = []
    contexts: list[int] = []
    total = 0
    while total < tokens:
        batch = [example(next(stream), rng, mix) for _ in range(2000)]
        heads = tokenizer.encode_batch_fast([e.context for e in batch], add_special_tokens=False)
        tails = tokenizer.encode_batch_fast([e.target for e in batch], add_special_tokens=False)
        for head, tail in zip(heads, tails, strict=True):
            ids = np.asarray(head.ids + tail.ids, dtype=np.uint16)
            flat.append(ids)
            lengths.append(len(ids))
            contexts.append(len(head.ids))
            total += len(ids)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Corpus(np.concatenate(flat), starts, np.asarray(contexts, dtype=np.int32))


def describe(curriculum: Curriculum, mix: Mix, *, seed: int) -> str:
    """The settings of a corpus as JSON, stored beside it."""
    return json.dumps({"curriculum": asdict(curriculum), "mix": asdict(mix), "seed": seed}, indent=2)
