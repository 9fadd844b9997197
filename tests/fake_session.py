"""A session whose model is a script: it answers known questions with known texts.

Its tokens are bytes and a few specials; its hidden states and its doubts are functions of the
tokens read, so that the same prefix always gives the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from mch_runtime.errors import Interrupted, ResourceError
from mch_runtime.options import SamplingOptions
from mch_runtime.session import Block, Feed, FloatArray, Interrupt, Reader

SPECIALS = ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<think>", "</think>")
END = 256


class FakeVocabulary:
    size = 256 + len(SPECIALS)
    adds_bos = False
    specials = tuple(sorted(SPECIALS, key=lambda text: (-len(text), text)))

    def normalize(self, text: str) -> str:
        return text

    def tokenize(self, text: str, *, add_bos: bool = False, parse_special: bool = False) -> list[int]:
        """Like llama.cpp, a user-defined special is matched even where specials are not parsed."""
        matched = SPECIALS if parse_special else ("<think>", "</think>")
        ids: list[int] = []
        while text:
            found = next((s for s in matched if text.startswith(s)), None)
            ids += [256 + SPECIALS.index(found)] if found else list(text[0].encode())
            text = text[len(found) if found else 1 :]
        return ids

    def piece(self, token_id: int, *, special: bool = False) -> bytes:
        if not 0 <= token_id < self.size:
            raise ValueError("outside the vocabulary")
        if token_id < 256:
            return bytes([token_id])
        text = SPECIALS[token_id - 256]
        return text.encode() if special or "think" in text else b""

    def is_end(self, token_id: int) -> bool:
        return token_id == END


class FakeBranch:
    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parent: FakeBranch | None = None
        self.shared = 0

    @property
    def length(self) -> int:
        return len(self.tokens)


class FakeSampler:
    def __init__(self, session: FakeSession, sampling: SamplingOptions, seed: int) -> None:
        self._session, self._sampling = session, sampling
        self._rng = np.random.default_rng(seed)

    def sample(self, row: int) -> int:
        if self._session.logits is None or not 0 <= row < len(self._session.logits):
            raise ValueError("row is not in the block being read")
        logits = self._session.logits[row].astype(np.float64)
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        scaled = logits / self._sampling.temperature
        if 0 < self._sampling.top_k < len(scaled):
            scaled[scaled < np.sort(scaled)[-self._sampling.top_k]] = -np.inf
        weights = np.exp(scaled - scaled.max())
        return int(self._rng.choice(len(weights), p=weights / weights.sum()))


class FakeSession:
    n_embd = 8

    def __init__(
        self,
        replies: Mapping[str, str],
        *,
        n_ctx: int = 512,
        room: int = 0,
        max_sequences: int = 8,
        interrupt: Interrupt | None = None,
    ) -> None:
        self.vocabulary = FakeVocabulary()
        self.n_ctx = n_ctx
        self.room = room
        self.max_sequences = max_sequences
        self.decodes: list[list[int]] = []  # of every decode, how many tokens each feed had
        self.logits: FloatArray | None = None
        self._replies = [(q.encode(), [*a.encode(), END]) for q, a in replies.items()]
        self._live: list[FakeBranch] = []
        self._interrupt = interrupt or Interrupt()

    @property
    def free_branches(self) -> int:
        return self.max_sequences - len(self._live)

    @property
    def free_tokens(self) -> int:
        return max(0, self.n_ctx + self.room - sum(map(self._own_tokens, self._live)))

    def _own_tokens(self, branch: FakeBranch) -> int:
        if branch.parent not in self._live:
            return branch.length
        return branch.length - min(branch.shared, branch.length, branch.parent.length)

    @contextmanager
    def branch(self) -> Iterator[FakeBranch]:
        if not self.free_branches:
            raise ResourceError("too many sequences at once")
        branch = FakeBranch()
        self._live.append(branch)
        try:
            yield branch
        finally:
            self._live.remove(branch)

    @contextmanager
    def fork(self, parent: FakeBranch, *, length: int | None = None) -> Iterator[FakeBranch]:
        length = parent.length if length is None else length
        self._check(parent, length)
        with self.branch() as child:
            child.tokens = parent.tokens[:length]
            child.parent, child.shared = parent, length
            yield child

    def truncate(self, branch: FakeBranch, length: int) -> None:
        self._check(branch, length)
        del branch.tokens[length:]

    def thin(self, branch: FakeBranch, kept: Sequence[int]) -> None:
        self._check(branch, 0)
        if len(self._live) > 1:
            raise ValueError("other branches may share the tokens")
        if any(a >= b for a, b in pairwise([-1, *kept, branch.length])):
            raise ValueError("the places do not ascend within the branch")
        branch.tokens = [branch.tokens[place] for place in kept]

    def _check(self, branch: FakeBranch, length: int) -> None:
        if branch not in self._live or not 0 <= length <= branch.length:
            raise ValueError("no such branch or length")

    def decode(self, feeds: Sequence[Feed], read: Reader, *, states: bool = True) -> None:
        self._check_feeds(feeds)
        if self._interrupt.requested:
            raise Interrupted
        self.decodes.append([len(feed.token_ids) for feed in feeds])
        rows: list[tuple[int, int, FloatArray, FloatArray]] = []
        for index, feed in enumerate(feeds):
            for offset, token in enumerate(feed.token_ids):
                feed.branch.tokens.append(token)
                if offset >= feed.first_output:
                    rows.append((index, offset, *self._outputs(feed.branch.tokens)))
        if not rows:
            return
        self.logits = np.stack([row[2] for row in rows])
        places = np.array([row[:2] for row in rows], dtype=np.intp)
        hidden = np.stack([row[3][: None if states else 0] for row in rows])
        read(Block(places[:, 0], places[:, 1], self.logits, hidden))
        self.logits = None

    def _check_feeds(self, feeds: Sequence[Feed]) -> None:
        if len({id(feed.branch) for feed in feeds}) < len(feeds):
            raise ValueError("two feeds for one branch")
        for feed in feeds:
            self._check(feed.branch, 0)
            if not 0 <= feed.first_output <= len(feed.token_ids):
                raise ValueError("no such output")
            if not all(0 <= token < self.vocabulary.size for token in feed.token_ids):
                raise ValueError("a token id is outside the vocabulary")
            if feed.branch.length + len(feed.token_ids) > self.n_ctx:
                raise ResourceError("the context is full")

    def _outputs(self, tokens: list[int]) -> tuple[FloatArray, FloatArray]:
        digest = hashlib.sha256(repr(tokens).encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        logits = rng.normal(0, 1, self.vocabulary.size).astype(np.float32)
        logits[self._next(tokens)] = 8.0
        return logits, rng.normal(0, 1, self.n_embd).astype(np.float32)

    def _next(self, tokens: list[int]) -> int:
        """The reply's next token if the last known question has been asked, else the end."""
        plain = bytes(token for token in tokens if token < 256)
        asked = [(plain.rfind(question), question, reply) for question, reply in self._replies]
        for at, question, reply in sorted(asked, reverse=True):
            if at < 0:
                break
            written = plain[at + len(question) :]
            done = next(
                (n for n in range(len(written), -1, -1) if list(written[-n:] if n else b"") == reply[:n]), 0
            )
            return reply[min(done, len(reply) - 1)]
        return END

    @contextmanager
    def sampler(self, sampling: SamplingOptions, *, seed: int) -> Iterator[FakeSampler]:
        yield FakeSampler(self, sampling, seed)
