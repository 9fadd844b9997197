"""The Session over llama.cpp: sequences that share prefixes, batches, outputs as views."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import compress, groupby, pairwise

import numpy as np

from mch_runtime.errors import Interrupted, ResourceError, UsageError
from mch_runtime.llama import abi, memory
from mch_runtime.llama.machine import cores, halves_are_slow
from mch_runtime.llama.model import LlamaModel, LlamaVocabulary
from mch_runtime.llama.sampling import LlamaSampler
from mch_runtime.options import EngineOptions, KvType, SamplingOptions
from mch_runtime.session import Block, Branch, Feed, Interrupt, Reader
from mch_runtime.steering import Steering

DEFAULT_CTX = 4096
N_BATCH = 512
LOGITS_BYTES = 64 << 20  # of one block
SMALL_MODEL = 32 << 20  # bytes of file
# Of general.file_type: Q8_0, Q4_K and Q6_K, whose rows come out the same in any batch unless weights are repacked.
SAME_IN_ANY_BATCH = frozenset({7, 14, 15, 18})


class LlamaBranch:
    """One sequence of the cache."""

    def __init__(self, sequence_id: int, *, parent: LlamaBranch | None = None, shared: int = 0) -> None:
        """shared: how many tokens it has in common with ``parent``."""
        self.sequence_id = sequence_id
        self.length = 0
        self.parent = parent
        self.shared = shared


class LlamaSession:
    """See :class:`mch_runtime.session.Session`. Made by :func:`open_session`."""

    def __init__(
        self,
        model: LlamaModel,
        handle: abi.ContextHandle,
        *,
        n_ctx: int,
        room: int = 0,
        max_sequences: int,
        deterministic: bool = False,
    ) -> None:
        """n_ctx: tokens that a branch may hold; room: tokens that all together may hold beyond that.

        llama.cpp makes room for more, in steps of 256. deterministic: see :func:`open_session`.
        """
        self.handle = handle
        self.vocabulary: LlamaVocabulary = model.vocabulary
        self.n_ctx = min(n_ctx, handle.n_ctx // max_sequences if deterministic else handle.n_ctx)
        self._cells = min(n_ctx + room, handle.n_ctx)
        self._apart = deterministic
        self.n_embd = model.handle.n_embd
        self.block_logits = self._no_logits = np.empty((0, self.vocabulary.size), dtype=np.float32)
        self._free = list(range(max_sequences))[::-1]
        self._live: set[LlamaBranch] = set()
        self._output_rows = max(1, min(N_BATCH, LOGITS_BYTES // (4 * self.vocabulary.size)))
        if deterministic and model.gguf.metadata.get("general.file_type") not in SAME_IN_ANY_BATCH:
            self._output_rows = 1

    def steer(self, steering: Steering) -> None:
        """Steer all that is decoded from now on."""
        self.handle.steer(steering.directions)

    @property
    def free_branches(self) -> int:
        return len(self._free)

    @property
    def free_tokens(self) -> int:
        if self._apart:
            return self.n_ctx * max(1, len(self._free))
        return max(0, self._cells - sum(self._own_tokens(branch) for branch in self._live))

    def _own_tokens(self, branch: LlamaBranch) -> int:
        """Those that the branch does not share with a live parent."""
        if branch.parent not in self._live:
            return branch.length
        return branch.length - min(branch.shared, branch.length, branch.parent.length)

    @contextmanager
    def branch(self) -> Iterator[LlamaBranch]:
        with self._branch(None, 0) as branch:
            yield branch

    @contextmanager
    def _branch(self, parent: LlamaBranch | None, shared: int) -> Iterator[LlamaBranch]:
        if not self._free:
            raise ResourceError("too many sequences at once", hint="ask for fewer votes or alternatives")
        branch = LlamaBranch(self._free.pop(), parent=parent, shared=shared)
        self._live.add(branch)
        try:
            yield branch
        finally:
            self._live.remove(branch)
            self.handle.remove(branch.sequence_id, 0)
            self._free.append(branch.sequence_id)

    @contextmanager
    def fork(self, parent: Branch, *, length: int | None = None) -> Iterator[LlamaBranch]:
        length = parent.length if length is None else length
        own = self._own(parent, length)
        with self._branch(own, length) as child:
            if length and self._apart:
                self.handle.copy_sequence(own.sequence_id, child.sequence_id)
                self.handle.remove(child.sequence_id, length)
            elif length:
                self.handle.copy_sequence(own.sequence_id, child.sequence_id, length)
            child.length = length
            yield child

    def truncate(self, branch: Branch, length: int) -> None:
        own = self._own(branch, length)
        self.handle.remove(own.sequence_id, length)
        own.length = length

    def thin(self, branch: Branch, kept: Sequence[int]) -> None:
        own = self._own(branch, 0)
        if len(self._live) > 1:
            raise ValueError("other branches may share the tokens")
        if not self.handle.can_shift:
            raise UsageError("this model's cache cannot leave out tokens", hint="use --context-policy full")
        for start, end, place in runs(kept, own.length):
            self.handle.remove(own.sequence_id, place, start)
            self.handle.shift(own.sequence_id, start, end, place - start)
        self.truncate(branch, len(kept))

    def _own(self, branch: Branch, length: int) -> LlamaBranch:
        """The branch as ours; ValueError if it was released or is shorter than ``length``."""
        if not isinstance(branch, LlamaBranch) or branch not in self._live:
            raise ValueError("the branch is not one of this session's")
        if not 0 <= length <= branch.length:
            raise ValueError(f"length {length} is outside the branch of {branch.length}")
        return branch

    def decode(self, feeds: Sequence[Feed], read: Reader, *, states: bool = True) -> None:
        branches = self._branches(feeds)
        mixed = not states and not self._apart
        try:
            for part in self._mixed_batches(feeds) if mixed else self._pure_batches(feeds):
                spoken = self._batch(feeds, branches, part, states=not mixed)
                if spoken:
                    read(self._block(spoken, states=not mixed))
        except (Interrupted, ResourceError):
            for branch in branches:
                branch.length = self.handle.last_position(branch.sequence_id) + 1
            raise
        finally:
            self.block_logits = self._no_logits

    def _block(self, places: Sequence[tuple[int, int]], *, states: bool) -> Block:
        """The outputs of the last batch. Without states nothing can be sampled: there, rows are counted otherwise."""
        found = np.asarray(places, dtype=np.intp)
        logits = self.handle.logits(len(places))
        if not states:
            return Block(found[:, 0], found[:, 1], logits, np.empty((len(places), 0), dtype=np.float32))
        self.block_logits = logits
        return Block(found[:, 0], found[:, 1], logits, self.handle.hidden(len(places)))

    def _mixed_batches(self, feeds: Sequence[Feed]) -> Iterator[list[tuple[int, int]]]:
        """All tokens as they come, in as few batches as hold them, all of one size: small ones are slow."""
        places = [(f, i) for f, feed in enumerate(feeds) for i in range(len(feed.token_ids))]
        outputs = sum(i >= feeds[f].first_output for f, i in places)
        # So many that no batch has more outputs than there is memory for, wherever they are.
        size = N_BATCH if outputs <= self._output_rows else self._output_rows
        count = -(-len(places) // size)
        for n in range(count):
            yield places[len(places) * n // count : len(places) * (n + 1) // count]

    def _pure_batches(self, feeds: Sequence[Feed]) -> Iterator[list[tuple[int, int]]]:
        """Silent tokens first, then the tokens with outputs; every batch full of both kinds' own."""
        yield from self._silent_batches(
            [(f, i) for f, feed in enumerate(feeds) for i in range(feed.first_output)]
        )
        spoken = [
            (f, i) for f, feed in enumerate(feeds) for i in range(feed.first_output, len(feed.token_ids))
        ]
        for first in range(0, len(spoken), self._output_rows):
            yield spoken[first : first + self._output_rows]

    def _silent_batches(self, silent: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """As full as they can be; where numbers must not depend on it, every feed by itself."""
        feeds = groupby(silent, key=lambda place: place[0]) if self._apart else [(0, silent)]
        for _, part in feeds:
            places = list(part)
            for first in range(0, len(places), N_BATCH):
                yield places[first : first + N_BATCH]

    def _branches(self, feeds: Sequence[Feed]) -> list[LlamaBranch]:
        """The branches of the feeds, once everything llama.cpp trusts has been checked."""
        seen: list[LlamaBranch] = []
        for feed in feeds:
            branch = self._own(feed.branch, 0)
            if branch in seen:
                raise ValueError("two feeds for one branch")
            seen.append(branch)
            if not 0 <= feed.first_output <= len(feed.token_ids):
                raise ValueError(f"first_output {feed.first_output} is outside the feed")
            if feed.token_ids and not 0 <= min(feed.token_ids) <= max(feed.token_ids) < self.vocabulary.size:
                raise ValueError("a token id is outside the vocabulary")
            if branch.length + len(feed.token_ids) > self.n_ctx:
                raise ResourceError(
                    f"{branch.length + len(feed.token_ids)} tokens do not fit a context of {self.n_ctx}",
                    hint="use a larger --ctx-size or a shorter question",
                )
        return seen

    def _batch(
        self,
        feeds: Sequence[Feed],
        branches: list[LlamaBranch],
        part: list[tuple[int, int]],
        *,
        states: bool,
    ) -> list[tuple[int, int]]:
        """Decode the tokens at these places of the feeds; those of them that have outputs."""
        rows: list[tuple[int, int, int]] = []
        lengths: dict[LlamaBranch, int] = {}
        for f, i in part:
            branch = branches[f]
            position = lengths.get(branch, branch.length)
            rows.append((feeds[f].token_ids[i], position, branch.sequence_id))
            lengths[branch] = position + 1
        outputs = [i >= feeds[f].first_output for f, i in part]
        self.handle.decode(rows, outputs=outputs, states=states)
        for branch, length in lengths.items():
            branch.length = length
        return list(compress(part, outputs))

    @contextmanager
    def sampler(self, sampling: SamplingOptions, *, seed: int) -> Iterator[LlamaSampler]:
        handle = abi.SamplerHandle(sampling, seed=seed)
        try:
            yield LlamaSampler(handle, self, sampling)
        finally:
            handle.close()


def runs(kept: Sequence[int], length: int) -> Iterator[tuple[int, int, int]]:
    """Every run of neighbours [start, end) that moves, with the place that it moves to.

    Raises ValueError if the places do not ascend within ``length``.
    """
    if any(a >= b for a, b in pairwise([-1, *kept, length])):
        raise ValueError("the places do not ascend within the branch")
    start = 0
    for place in range(1, len(kept) + 1):
        if place == len(kept) or kept[place] != kept[place - 1] + 1:
            if kept[start] != start:
                yield kept[start], kept[place - 1] + 1, start
            start = place


@contextmanager
def open_session(model: LlamaModel, options: EngineOptions, interrupt: Interrupt) -> Iterator[LlamaSession]:
    """A context for ``model``; freed before the model is. Raises ResourceError if it does not fit.

    With ``deterministic`` every sequence has a cache of its own, in which its tokens lie in their order; every prompt
    is read in batches of its own, and rows of a model whose numbers depend on the size of the batch are
    decoded one by one. The model has to be opened for it too.
    """
    n_ctx = context_size(model, options)
    cells = n_ctx * options.max_sequences if options.deterministic else n_ctx + options.room
    kv_type = options.kv_type or cache_type(model, options)
    element = 4 if kv_type == "f32" else 2
    needed = memory.kv_bytes(model.gguf, n_ctx=cells, element_bytes=element) + LOGITS_BYTES
    memory.require(needed, what=f"a context of {cells} tokens")
    handle = abi.ContextHandle(
        model.handle,
        n_ctx=cells,
        n_batch=N_BATCH,
        n_seq_max=options.max_sequences,
        unified=not options.deterministic,
        threads=thread_counts(model, options),
        flash_attention=options.flash_attention,
        kv_type=kv_type,
        interrupt=interrupt,
    )
    try:
        yield LlamaSession(
            model,
            handle,
            n_ctx=n_ctx,
            room=options.room,
            max_sequences=options.max_sequences,
            deterministic=options.deterministic,
        )
    finally:
        handle.close()


def context_size(model: LlamaModel, options: EngineOptions) -> int:
    """The context in tokens: what was asked for, else the model's own up to 4096."""
    trained = int(str(model.gguf.metadata[f"{model.gguf.metadata['general.architecture']}.context_length"]))
    return options.ctx_size if options.ctx_size is not None else min(trained, DEFAULT_CTX)


def thread_counts(model: LlamaModel, options: EngineOptions) -> tuple[int, int]:
    """For a few rows and for a large batch: what was asked for, else a thread per core.

    A few rows of a model this small get one: its threads would wait for each other longer than they compute. So does
    all that is done for a single chain.
    """
    asked, most = options.threads, cores()
    if asked is not None and asked > 4 * most:
        raise UsageError(f"--threads {asked} is far more than this machine's {most} cores")
    if asked is not None:
        return asked, asked
    few = 1 if os.fstat(model.fd).st_size < SMALL_MODEL else most
    return few, most if options.room else few


def cache_type(model: LlamaModel, options: EngineOptions) -> KvType:
    """Half precision, or brain floats, in which checkpoints are trained, where the processor is slow with halves."""
    slow = options.flash_attention and halves_are_slow(memory.head_size(model.gguf))
    return "bf16" if slow else "f16"
