"""``fast``: one chain, as the sampler draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter

from mch_runtime.errors import Interrupted
from mch_runtime.familiarity import QuestionReader
from mch_runtime.session import Session
from mch_runtime.strategies.chain import Chain, start_chains, write_chains


def write_fast(
    session: Session,
    prompt: Sequence[int],
    chain: Chain,
    *,
    question: QuestionReader | None = None,
    on_prefill: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[float, float]:
    """Read ``prompt`` and write ``chain``; returns the seconds of prefill and of decoding.

    question: reads along in the prompt. An interrupt ends the chain, which keeps what it has.
    """
    began = read = perf_counter()
    with ExitStack() as stack:
        try:
            started = start_chains(
                session, stack, [(prompt, [chain])], question=question, on_prefill=on_prefill
            )
            read = perf_counter()
            write_chains(session, started)
        except Interrupted:
            chain.interrupt()
    return read - began, perf_counter() - read
