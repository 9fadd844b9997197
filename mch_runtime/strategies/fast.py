"""``fast``: one chain, as the sampler draws it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from mch_runtime.chain import Chain, start_chains, write_chains
from mch_runtime.errors import Interrupted
from mch_runtime.familiarity import QuestionReader
from mch_runtime.session import Branch, Session


@dataclass(frozen=True)
class FastRun:
    """Seconds of reading the prompt and of decoding, and the branch that holds the chain, if it was begun."""

    prefill: float
    decode: float
    branch: Branch | None


def write_fast(
    session: Session,
    stack: ExitStack,
    prompt: Sequence[int],
    chain: Chain,
    *,
    question: QuestionReader | None = None,
    begun: tuple[Branch, int] | None = None,
    on_prefill: Callable[[int, int], None] = lambda _done, _total: None,
) -> FastRun:
    """Read ``prompt`` and write ``chain``; its branch lives as long as ``stack``, unless it was ``begun``.

    question: reads along in the prompt. begun: see :func:`start_chains`. An interrupt ends the chain, which keeps
    what it has.
    """
    began = read = perf_counter()
    branch = None
    try:
        started = start_chains(
            session, stack, [(prompt, [chain])], question=question, begun=begun, on_prefill=on_prefill
        )
        read, branch = perf_counter(), started[0][0]
        write_chains(session, started)
    except Interrupted:
        chain.interrupt()
    return FastRun(read - began, perf_counter() - read, branch)


def go_on(session: Session, branch: Branch, chain: Chain) -> FastRun:
    """Write a chain to its end that has begun already. An interrupt is treated as above."""
    began = perf_counter()
    try:
        if not chain.token_ids:  # it was interrupted before it began
            raise Interrupted
        write_chains(session, [(branch, chain)])
    except Interrupted:
        chain.interrupt()
    return FastRun(0.0, perf_counter() - began, branch)
