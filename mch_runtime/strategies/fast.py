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
    on_prefill: Callable[[int, int], None] = lambda _done, _total: None,
) -> FastRun:
    """Read ``prompt`` and write ``chain``; its branch lives as long as ``stack``.

    question: reads along in the prompt. An interrupt ends the chain, which keeps what it has.
    """
    began = read = perf_counter()
    branch = None
    try:
        started = start_chains(session, stack, [(prompt, [chain])], question=question, on_prefill=on_prefill)
        read, branch = perf_counter(), started[0][0]
        write_chains(session, started)
    except Interrupted:
        chain.interrupt()
    return FastRun(read - began, perf_counter() - read, branch)
