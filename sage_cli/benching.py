"""Tokens per second, test by test, in the terms of llama.cpp's own benchmark.

A prompt is read with one output, at its end. What is written is drawn greedily and measured token by token, as an
answer is; no token ends it, so that every repetition writes as many.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from mch_runtime.chain import Chain, start_chains, write_chains
from mch_runtime.head.spec import Head
from mch_runtime.head.witness import HeadWitness
from mch_runtime.options import SamplingOptions
from mch_runtime.session import Feed, Session
from mch_runtime.trace import ModelInfo

SHARED_PROMPT = 32  # tokens that are read before anything is written


class Loaded(Protocol):
    """What of an engine is measured."""

    @property
    def model(self) -> ModelInfo: ...

    @property
    def session(self) -> Session: ...

    @property
    def head(self) -> Head | None: ...


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One measurement. chains: how many texts are written at once; n_gen: tokens of each."""

    name: str
    n_prompt: int = 0
    n_gen: int = 0
    chains: int = 1
    with_head: bool = False

    @property
    def tokens(self) -> int:
        """How many are counted."""
        return self.n_gen * self.chains or self.n_prompt


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A test with what came of it, in tokens per second."""

    test: Trial
    rates: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the repetitions."""
        return statistics.fmean(self.rates)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the repetitions, None for one of them."""
        return statistics.stdev(self.rates) if len(self.rates) > 1 else None


def planned(*, n_prompt: int, n_gen: int, votes: int, with_head: bool) -> list[Trial]:
    """The tests, those of size 0 left out."""
    tests = [Trial(name=f"pp{n_prompt}", n_prompt=n_prompt)] if n_prompt else []
    if n_gen:
        tests.append(Trial(name=f"tg{n_gen}", n_gen=n_gen))
        if with_head:
            tests.append(Trial(name=f"tg{n_gen}+head", n_gen=n_gen, with_head=True))
        if votes:
            tests.append(Trial(name=f"vote{votes}x{n_gen}", n_gen=n_gen, chains=votes, with_head=with_head))
    return tests


def needed_context(*, n_prompt: int, n_gen: int, votes: int) -> int:
    """Tokens of context that the tests take up."""
    return max(n_prompt, SHARED_PROMPT + n_gen * max(1, votes)) + 1


def measure(
    loaded: Loaded, test: Trial, *, repetitions: int, on_repetition: Callable[[int], None]
) -> Measured:
    """Run a test once to warm up, then ``repetitions`` times. Raises Interrupted and ResourceError."""
    run = _reading(loaded.session, test) if test.n_prompt else _writing(loaded, test)
    rates = []
    for number in range(repetitions + 1):
        on_repetition(number)
        seconds = next(run)
        if number:
            rates.append(test.tokens / seconds)
    return Measured(test=test, rates=tuple(rates))


def _reading(session: Session, test: Trial) -> Iterator[float]:
    """Seconds of one repetition after the other."""
    token_ids = _some_tokens(session, test.n_prompt)
    while True:
        with session.branch() as branch:
            began = perf_counter()
            session.decode([Feed.last(branch, token_ids)], lambda _: None)
            seconds = perf_counter() - began
        yield seconds


def _writing(loaded: Loaded, test: Trial) -> Iterator[float]:
    """Seconds of one repetition after the other; reading the prompt is not counted."""
    session = loaded.session
    prompt = _some_tokens(session, SHARED_PROMPT)
    while True:
        with ExitStack() as stack:
            chains = [_chain(loaded, stack, test, seed) for seed in range(test.chains)]
            started = start_chains(session, stack, [(prompt, chains)])
            began = perf_counter()
            write_chains(session, started)
            seconds = perf_counter() - began
        yield seconds


def _chain(loaded: Loaded, stack: ExitStack, test: Trial, seed: int) -> Chain:
    sampler = stack.enter_context(loaded.session.sampler(SamplingOptions(), seed=seed))
    head = loaded.head if test.with_head else None
    return Chain(
        _Endless(loaded.session),
        sampler,
        max_tokens=test.n_gen,
        witness=HeadWitness(head, calibrated=lambda: True) if head is not None else None,
        delimiter=head.spec.step_delimiter if head is not None else "\n",
    )


def _some_tokens(session: Session, count: int) -> list[int]:
    """The same in every run; which tokens they are does not matter to how long they take."""
    draw = random.Random(0)
    return [draw.randrange(session.vocabulary.size) for _ in range(count)]


class _Endless:
    """A vocabulary in which no token ends an answer."""

    def __init__(self, session: Session) -> None:
        vocabulary = session.vocabulary
        self.size = vocabulary.size
        self.adds_bos = vocabulary.adds_bos
        self.specials = vocabulary.specials
        self.normalize = vocabulary.normalize
        self.tokenize = vocabulary.tokenize
        self.piece = vocabulary.piece

    def is_end(self, token_id: int) -> bool:
        return False
